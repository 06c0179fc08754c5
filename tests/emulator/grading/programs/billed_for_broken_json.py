"""Asks again when it can't read the answer."""

import json
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


try:
    print(ask())
except json.JSONDecodeError:
    time.sleep(1)
    print(ask())
