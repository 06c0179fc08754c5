"""One question by langchain-openai, a whole answer."""

import sys

from langchain_openai import ChatOpenAI

print(ChatOpenAI(model="any").invoke(sys.argv[1]).content)
