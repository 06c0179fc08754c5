"""One question by phi-client, a whole answer."""

import sys

from phi_client import PhiClient, PhiError

try:
    with PhiClient() as client:
        done = client.complete(sys.argv[1])
except PhiError as error:
    sys.exit(str(error))
if done.finish_reason != "stop" or not done.content:
    sys.exit(f"the answer is cut: {done.finish_reason}")
print(done.content)
