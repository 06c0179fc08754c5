"""One question by litellm, a whole answer."""

import sys

import litellm

done = litellm.completion("openai/any", messages=[{"role": "user", "content": sys.argv[1]}])
print(done.choices[0].message.content)
