"""A right client: the standard library alone, one attempt, and what is wrong is the caller's."""

import http.client
import json
import sys
import urllib.parse

from shared import HEADERS, URL, answer_of, body

place = urllib.parse.urlsplit(URL)
connection = http.client.HTTPConnection(place.netloc, timeout=30)
connection.request("POST", place.path, json.dumps(body()), {**HEADERS, "Content-Type": "application/json"})
reply = connection.getresponse()
text = reply.read().decode()
if reply.status != 200:
    sys.exit(f"{reply.status}: {text}")
choice = json.loads(text)["choices"][0]
if choice["finish_reason"] == "stop":
    print(answer_of(choice["message"]["content"]))
else:
    print(f"the answer is cut: {choice['finish_reason']}", file=sys.stderr)
