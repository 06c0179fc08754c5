"""Says the status, and not what the service said."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body

reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
reply.raise_for_status()
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
