"""Waits for ever."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body

reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=httpx.Timeout(None, connect=5))
if reply.is_error:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
