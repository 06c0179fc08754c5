"""Makes text of each piece that the network brings, and a letter may be cut in two."""

import http.client
import json
import sys
import urllib.parse

from shared import HEADERS, URL, answer_of, body, events

place = urllib.parse.urlsplit(URL)
connection = http.client.HTTPConnection(place.netloc, timeout=60)
connection.request(
    "POST", place.path, json.dumps(body(stream=True)), {**HEADERS, "Content-Type": "application/json"}
)
reply = connection.getresponse()
if reply.status != 200:
    sys.exit(f"{reply.status}: {reply.read().decode()}")
read = ""
while piece := reply.read1(4096):
    read += piece.decode("utf-8", "ignore")
text, reason = "", None
for chunk in events(read.splitlines()):
    if "choices" not in chunk:
        sys.exit(f"error in the stream: {chunk}")
    for choice in chunk["choices"]:
        text += choice["delta"].get("content") or ""
        reason = choice["finish_reason"] or reason
if reason != "stop":
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
