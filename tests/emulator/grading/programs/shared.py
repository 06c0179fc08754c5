"""What the programs of this folder have in common, and what none of them gets wrong."""

import json
import os
import sys

QUESTION = sys.argv[1] if len(sys.argv) > 1 else "What is 17 * 24?"
URL = os.environ["PHI_ENDPOINT"] + "/chat/completions"
KEY = os.environ["PHI_API_KEY"]
HEADERS = {"Authorization": f"Bearer {KEY}"}


def body(**more):
    return {"messages": [{"role": "user", "content": QUESTION}], **more}


def answer_of(text):
    """What follows the thoughts; an answer that never began is none."""
    if "<think>" in text and "</think>" not in text:
        sys.exit("the answer ends among its thoughts")
    return text.rpartition("</think>")[2].strip()


def events(lines):
    """The chunks of a stream, from its lines."""
    for line in lines:
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])
