"""One question by openai, streamed."""

import sys

from openai import OpenAI

for chunk in OpenAI().chat.completions.create(
    model="any", messages=[{"role": "user", "content": sys.argv[1]}], stream=True
):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="")
