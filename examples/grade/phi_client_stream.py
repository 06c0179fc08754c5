"""One question by phi-client, streamed."""

import sys

from phi_client import PhiClient, PhiError

try:
    with PhiClient() as client, client.stream(sys.argv[1]) as stream:
        done = stream.until_done()
except PhiError as error:
    sys.exit(str(error))
if done.finish_reason != "stop" or not done.content:
    sys.exit(f"the answer is cut: {done.finish_reason}")
print(done.content)
