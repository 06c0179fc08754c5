"""One question by openai, a whole answer."""

import sys

from openai import OpenAI

done = OpenAI().chat.completions.create(model="any", messages=[{"role": "user", "content": sys.argv[1]}])
print(done.choices[0].message.content)
