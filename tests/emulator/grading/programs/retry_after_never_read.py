"""Waits as long as it likes, whatever the service asks for."""

import sys
import time

import httpx
from shared import HEADERS, URL, answer_of, body

for attempt in range(4):
    reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
    if reply.status_code not in (429, 503) or attempt == 3:
        break
    time.sleep(0.5 * 2**attempt)
if reply.is_error:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
