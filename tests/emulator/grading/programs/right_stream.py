"""A right client: streams by httpx, never tried again, with a limit for the whole."""

import sys
import time

import httpx
from shared import HEADERS, URL, answer_of, body, events


def in_time(lines):
    until = time.monotonic() + 300
    for line in lines:
        if time.monotonic() > until:
            sys.exit("the answer takes too long")
        yield line


text, reason = "", None
with httpx.stream("POST", URL, json=body(stream=True), headers=HEADERS, timeout=60) as reply:
    if reply.status_code != 200:
        sys.exit(f"{reply.status_code}: {reply.read().decode()}")
    for chunk in events(in_time(reply.iter_lines())):
        if "choices" not in chunk:
            sys.exit(f"error in the stream: {chunk}")
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
if reason != "stop":
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
