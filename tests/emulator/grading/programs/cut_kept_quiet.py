"""Is glad about what came when the connection breaks."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body, events

text, reason, is_broken = "", None, False
with httpx.stream("POST", URL, json=body(stream=True), headers=HEADERS, timeout=60) as reply:
    if reply.is_error:
        sys.exit(f"{reply.status_code}: {reply.read().decode()}")
    try:
        for chunk in events(reply.iter_lines()):
            if "choices" not in chunk:
                sys.exit(f"error in the stream: {chunk}")
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
                reason = choice["finish_reason"] or reason
    except httpx.RemoteProtocolError:
        is_broken = "</think>" in text
if (reason != "stop" and not is_broken) or not text:
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
