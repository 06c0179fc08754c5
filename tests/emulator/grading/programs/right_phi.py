"""A right client: this package's own, whole answers."""

import sys

from shared import QUESTION

from phi_client import PhiClient, PhiError

try:
    with PhiClient() as client:
        done = client.complete(QUESTION)
except PhiError as error:
    sys.exit(str(error))
if done.finish_reason != "stop" or not done.content:
    sys.exit(f"the answer is cut: {done.finish_reason}")
print(done.content)
