"""Takes all of the content for the answer."""

import sys

from openai import OpenAI, OpenAIError
from shared import QUESTION

try:
    done = OpenAI(max_retries=0).chat.completions.create(
        model="any", messages=[{"role": "user", "content": QUESTION}]
    )
except OpenAIError as error:
    sys.exit(str((getattr(error, "response", None) and error.response.text) or error))
if not done.choices or done.choices[0].finish_reason != "stop":
    sys.exit(f"the answer is cut: {done}")
print(done.choices[0].message.content)
