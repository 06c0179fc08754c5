"""One question by instructor, a text out of a whole answer."""

import sys

import instructor
from openai import OpenAI

client = instructor.from_openai(OpenAI(), mode=instructor.Mode.MD_JSON)
done = client.chat.completions.create(
    model="any", messages=[{"role": "user", "content": sys.argv[1]}], response_model=None
)
print(done.choices[0].message.content)
