"""Knows one of the reasons for which an answer ends early, and not the other."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body, events

text, reason = "", None
with httpx.stream("POST", URL, json=body(stream=True), headers=HEADERS, timeout=60) as reply:
    if reply.is_error:
        sys.exit(f"{reply.status_code}: {reply.read().decode()}")
    for chunk in events(reply.iter_lines()):
        if "choices" not in chunk:
            sys.exit(f"error in the stream: {chunk}")
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
if reason in (None, "length"):
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
