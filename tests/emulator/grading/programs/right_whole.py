"""A right client: whole answers by httpx."""

import sys
import time
from email.utils import parsedate_to_datetime

import httpx
from shared import HEADERS, URL, answer_of, body


def asked_wait(reply):
    asked = reply.headers.get("retry-after", "")
    if asked.isdecimal():
        return int(asked)
    try:
        return max(parsedate_to_datetime(asked).timestamp() - time.time(), 0)
    except ValueError:
        return 0


def ask():
    attempt = 0
    while True:
        reply = httpx.post(URL, json=body(), headers=HEADERS, timeout=60)
        wait = asked_wait(reply)
        if reply.status_code not in (408, 429, 500, 502, 503, 504) or attempt == 3 or wait > 120:
            return reply
        time.sleep(max(wait, 0.5 * 2**attempt))
        attempt += 1


reply = ask()
if reply.status_code != 200:
    sys.exit(f"{reply.status_code}: {reply.text}")
choice = reply.json()["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
