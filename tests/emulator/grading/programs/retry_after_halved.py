"""Waits for `Retry-After`, and no more than ten seconds of it."""

import http.client
import json
import sys
import time
import urllib.parse

from shared import HEADERS, URL, answer_of, body

place = urllib.parse.urlsplit(URL)
for attempt in range(3):
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    connection.request(
        "POST", place.path, json.dumps(body()), {**HEADERS, "Content-Type": "application/json"}
    )
    reply = connection.getresponse()
    text = reply.read().decode()
    asked = reply.getheader("Retry-After", "")
    if reply.status != 429 or attempt == 2 or not asked.isdecimal() or int(asked) > 600:
        break
    time.sleep(min(int(asked), 10))
if reply.status != 200:
    sys.exit(f"{reply.status}: {text}")
choice = json.loads(text)["choices"][0]
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
