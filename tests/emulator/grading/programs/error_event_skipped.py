"""Skips events that it doesn't know, such as an error."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body, events

text, reason = "", None
with httpx.stream("POST", URL, json=body(stream=True), headers=HEADERS, timeout=60) as reply:
    if reply.is_error:
        sys.exit(f"{reply.status_code}: {reply.read().decode()}")
    failed = False
    for chunk in events(reply.iter_lines()):
        failed = failed or "choices" not in chunk
        for choice in chunk.get("choices", ()):
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
if (reason != "stop" and not failed) or not text:
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
