"""Tries again what can't succeed, and with good manners."""

import sys
import time

import httpx
from shared import HEADERS, URL, answer_of, body

for attempt in range(3):
    reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
    if reply.status_code < 400 or reply.status_code in (401, 404, 429):
        break
    time.sleep(2**attempt)
if reply.is_error:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
