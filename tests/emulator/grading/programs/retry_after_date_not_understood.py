"""Waits for `Retry-After`, but not where it is a date."""

import sys
import time

import httpx
from shared import HEADERS, URL, answer_of, body

for attempt in range(3):
    reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
    if reply.status_code != 429 or attempt == 2:
        break
    asked = reply.headers.get("retry-after", "")
    if asked.isdecimal() and int(asked) > 120:
        break
    time.sleep(max(int(asked), 1) if asked.isdecimal() else 2**attempt)
if reply.is_error:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
