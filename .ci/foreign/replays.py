"""Records an answer of the bundled model, and has litellm and langchain-openai read it again without one.

It must not know more of the emulator than its commands.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import litellm
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from phi_emulator import Emulator

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.reasoning import split_reasoning

QUESTION = "What is 12 + 30?"
SAMPLING: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 300}
OLDER_VERSION = "2024-10-21"
DEADLINE_S = 60


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of a `phi-emulator` command on a free port; it must end well."""
    line = [sys.executable, "-m", "phi_emulator", *arguments, "--port", "0"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as command:
        try:
            assert command.stderr is not None
            said = command.stderr.readline()
            found = re.search(r" at (http://127\.0\.0\.1:\d+)", said)
            assert found, said + command.stderr.read()
            yield found[1]
        finally:
            command.send_signal(signal.SIGINT)
            _, said = command.communicate(timeout=DEADLINE_S)
            print(said, end="")
        assert command.returncode == 0


def by_litellm(url: str, *, stream: bool) -> str:
    """litellm's OpenAI provider."""
    given: dict[str, Any] = {
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": stream,
        **SAMPLING,
    }
    answer: Any = litellm.completion("openai/phi", api_base=f"{url}/openai/v1", api_key=EMULATOR_KEY, **given)
    said = [chunk.choices[0].delta for chunk in answer] if stream else [answer.choices[0].message]
    # It takes the thoughts out of a whole answer by itself.
    thoughts = "".join(getattr(part, "reasoning_content", None) or "" for part in said)
    content = "".join(part.content or "" for part in said)
    return f"<think>{thoughts}</think>{content}" if thoughts else content


def by_litellm_azure(url: str, *, stream: bool) -> str:
    """litellm's provider for Azure's Model Inference API."""
    given: dict[str, Any] = {
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": stream,
        **SAMPLING,
    }
    answer: Any = litellm.completion("azure_ai/phi", api_base=url, api_key=EMULATOR_KEY, **given)
    said = [chunk.choices[0].delta for chunk in answer] if stream else [answer.choices[0].message]
    # It takes the thoughts out of a whole answer by itself.
    thoughts = "".join(getattr(part, "reasoning_content", None) or "" for part in said)
    content = "".join(part.content or "" for part in said)
    return f"<think>{thoughts}</think>{content}" if thoughts else content


def by_langchain(url: str, *, stream: bool) -> str:
    """ChatOpenAI on `/openai/v1`."""
    model = ChatOpenAI(model="phi", base_url=f"{url}/openai/v1", api_key=EMULATOR_KEY, **SAMPLING)
    return (
        "".join(str(part.content) for part in model.stream(QUESTION))
        if stream
        else str(model.invoke(QUESTION).content)
    )


def by_langchain_azure(url: str, *, stream: bool) -> str:
    """AzureChatOpenAI on `/openai/deployments`."""
    model = AzureChatOpenAI(
        azure_deployment="phi",
        azure_endpoint=url,
        api_key=EMULATOR_KEY,
        api_version=OLDER_VERSION,
        **SAMPLING,
    )
    return (
        "".join(str(part.content) for part in model.stream(QUESTION))
        if stream
        else str(model.invoke(QUESTION).content)
    )


def main() -> None:
    """Record by one of them, replay to all."""
    clients = (by_litellm, by_litellm_azure, by_langchain, by_langchain_azure)
    with tempfile.TemporaryDirectory() as folder:
        tape = str(Path(folder) / "tape.jsonl")
        with Emulator() as emulator, served("record", tape, "--to", emulator.endpoint_of("openai_v1")) as url:
            recorded = by_langchain(url, stream=True)
        assert "42" in recorded, recorded
        with served("replay", tape, "--speed", "0") as url:
            for client in clients:
                for stream in (False, True):
                    text = client(url, stream=stream)
                    assert split_reasoning(text) == split_reasoning(recorded), (client.__name__, stream, text)
                    print(f"{client.__name__}, {'streamed' if stream else 'whole'}: the same text")


if __name__ == "__main__":
    main()
