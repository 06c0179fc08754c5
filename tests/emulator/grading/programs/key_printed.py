"""Shows its whole request when the service is at fault."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body

reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
if reply.status_code >= 500:
    sys.exit(f"{reply.status_code}: {reply.text} ({reply.request.method} with {reply.request.headers.raw})")
if reply.status_code != 200:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
