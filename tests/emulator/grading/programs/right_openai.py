"""A right client: the openai package, streams, no retries."""

import sys
import time

from openai import APIStatusError, OpenAI, OpenAIError
from shared import QUESTION, answer_of

text, reason, until = "", None, time.monotonic() + 900
try:
    for chunk in OpenAI(max_retries=0).chat.completions.create(
        model="any", messages=[{"role": "user", "content": QUESTION}], stream=True, timeout=60
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
        if time.monotonic() > until:
            sys.exit("the answer takes too long")
except APIStatusError as error:
    sys.exit(f"{error.status_code}: {error.response.text}")
except OpenAIError as error:
    sys.exit(str(error))
if reason != "stop":
    sys.exit(f"the answer is cut: {reason}")
print(answer_of(text))
