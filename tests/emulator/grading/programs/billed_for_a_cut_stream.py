"""Asks again when a stream breaks, and throws away what it has paid for."""

import sys
import time

import httpx
from shared import HEADERS, URL, answer_of, body, events


def ask():
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
    if reason != "stop":
        sys.exit(f"the answer is cut: {reason}")
    return answer_of(text)


for attempt in range(3):
    try:
        print(ask())
        break
    except httpx.TransportError as error:
        if attempt == 2:
            sys.exit(repr(error))
        time.sleep(1 + attempt)
