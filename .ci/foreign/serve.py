"""Serves the emulator while a command runs: with the bundled model, or with a script that knows the suites' answers.

    python serve.py model|script COMMAND ARGUMENTS...

The bundled model knows arithmetic only. Where a test first asks how many feet are in a mile and then looks at the rest
of the answer, only the script shows whether the rest is right.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from urllib.request import urlopen

from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.protocol import Engine, Marks, Message
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.forms.tool_calls import write_calls

MARKS = Marks()
JOKE = json.dumps({"setup": "Why did the cat sit on the computer?", "punchline": "To watch the mouse."})
REASONS = "First, it keeps your heart well. Second, you sleep better. Third, it lifts your mood and clears your mind."
ANSWERS = (
    (r"feet are in a mile", "There are 5,280 feet in a mile."),
    (r"how many yards", "That are 1,760 yards."),
    (r"capital of France", "The capital of France is Paris."),
    (r"reasons why", REASONS),
    (r"distance between Seattle and Portland", json.dumps({
        "distances": [{"location1": "Seattle", "location2": "Portland", "distance": 145}],
    })),
    (r"joke about cats, no punchline", json.dumps({"setup": "Why did the cat sit on the computer?"})),
    (r"joke about cats", JOKE),
)  # fmt: skip
CALLS = (
    (r"magic_function\((\d+)\)", '{"input": {0}}'),
    (r"two days from now", '{"city": "Seattle", "days": "2"}'),
    (r"weather in (Seattle)", '{"city": "{0}"}'),
    (r"weather in (San Francisco)", '{"location": "{0}"}'),
    (r"customer named '([^']+)'", '{"customer_name": "{0}"}'),
    (r"generate a (\w+) greeting", '{"answer_style": "{0}"}'),
    (r"顧客「([^」]+)」", '{"customer_name": "{0}"}'),
    (r"joke about cats", JOKE),
)


def answer(messages: Sequence[Message]) -> str:
    """What a model that knows would say: a call where there are tools and the user spoke last, else the text."""
    last = messages[-1]
    if MARKS.tool_role == last.role:
        return f"The tool says: {last.content}."
    tools = next((json.loads(message.tools) for message in messages if message.tools), [])
    if tools:
        arguments = find(CALLS, last.content) or "{}"
        written = write_calls([(tools[0]["name"], arguments)])
        return MARKS.call[0] + written + MARKS.call[1]
    return find(ANSWERS, last.content) or "Hello! It is a fine day, and I am well."


def find(rules: Sequence[tuple[str, str]], question: str) -> str | None:
    """The text of the first rule that the question fits, with what its groups found."""
    for pattern, text in rules:
        if found := re.search(pattern, question):
            return text.replace("{0}", found[1]) if found.groups() else text
    return None


def variables(emulator: Emulator) -> dict[str, str]:
    """Where the suites find the emulator: our own names, and those that azure-ai-inference's tests ask for."""
    root, key = emulator.root, emulator.key
    deployment = {"ENDPOINT": f"{root}/openai/deployments/any", "KEY": key, "API_VERSION": "2024-10-21"}
    status = json.loads(urlopen(f"{root}/_emulator/status").read())  # noqa: S310
    chat = {"ENDPOINT": root, "KEY": key, "MODEL": status["model"]}
    others = {"ENDPOINT": root, "KEY": key}
    return {
        "EMULATOR_ROOT": root,
        "EMULATOR_KEY": key,
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": emulator.entra_url,
        "NO_PROXY": "127.0.0.1",
        **{f"AZURE_AI_CHAT_{name}": value for name, value in chat.items()},
        **{f"AZURE_OPENAI_CHAT_{name}": value for name, value in deployment.items()},
        **{f"AZURE_OPENAI_CHAT_AUDIO_{name}": value for name, value in deployment.items()},
        **{f"AZURE_AI_EMBEDDINGS_{name}": value for name, value in others.items()},
        **{f"AZURE_AI_IMAGE_EMBEDDINGS_{name}": value for name, value in others.items()},
    }


def main() -> int:
    kind, *command = sys.argv[1:]
    make_engine: Callable[[], Engine] | None = None
    if kind == "script":
        make_engine = lambda: ScriptedEngine(answer, marks=MARKS)  # noqa: E731
    config = EmulatorConfig(port=0, extensions=True, max_output_tokens=256)
    with Emulator(config, make_engine=make_engine) as emulator:
        return subprocess.run(command, env=os.environ | variables(emulator), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
