"""Makes an empty answer of a 200 that is none."""

import sys

import httpx
from shared import HEADERS, URL, answer_of, body

reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
if reply.status_code != 200:
    sys.exit(f"{reply.status_code}: {reply.text}")
choices = reply.json().get("choices") or [{"finish_reason": "stop", "message": {"content": ""}}]
if choices[0]["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choices[0]['finish_reason']}")
print(answer_of(choices[0]["message"]["content"]))
