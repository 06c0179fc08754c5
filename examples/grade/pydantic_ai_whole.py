"""One question by pydantic-ai, a whole answer."""

import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

print(Agent(OpenAIChatModel("any")).run_sync(sys.argv[1]).output)
