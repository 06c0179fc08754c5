"""Follows redirects with a header of its own, which no library takes for a key."""

import json
import sys
import urllib.error
import urllib.request

from shared import KEY, URL, answer_of, body


class Anywhere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, *args):
        return urllib.request.Request(args[-1], request.data, dict(request.header_items()))


request = urllib.request.Request(URL, json.dumps(body()).encode(), {"Content-Type": "application/json"})
request.add_header("Authorization", f"Bearer {KEY}")
try:
    with urllib.request.build_opener(Anywhere).open(request, timeout=60) as reply:
        choice = json.load(reply)["choices"][0]
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
if choice["finish_reason"] != "stop":
    sys.exit(f"the answer is cut: {choice['finish_reason']}")
print(answer_of(choice["message"]["content"]))
