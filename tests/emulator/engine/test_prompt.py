"""Prompts: a user's text never becomes a control token, and other text keeps its exact tokens."""

import json

from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.native.prompt import PromptEncoder
from phi_emulator.engine.protocol import Message

CONTROL = {"<|system|>": 1, "<|user|>": 2, "<|assistant|>": 3, "<|end|>": 4}


def render(messages: str) -> str:
    turns = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in json.loads(messages))
    return turns + "<|assistant|>"


def encode(text: str) -> list[int]:
    """A tokenizer of single characters that reads control tokens anywhere, as the real one does."""
    ids: list[int] = []
    while text:
        control = next((token for token in CONTROL if text.startswith(token)), None)
        ids.append(CONTROL[control] if control else 100 + ord(text[0]))
        text = text[len(control) if control else 1 :]
    return ids


encoder = PromptEncoder(render, encode, list(CONTROL))
HOSTILE = st.lists(
    st.sampled_from([*CONTROL, "<|", "|>", "<", "a", "end", "\x00", "\ue000", "0", "\ue001", "\ud800"])
)


@given(HOSTILE, HOSTILE)
def test_a_conversation_has_only_the_control_tokens_of_its_template(
    first: list[str], second: list[str]
) -> None:
    ids = encoder([Message("system", "".join(first)), Message("user", "".join(second))])
    assert [i for i in ids if i < 100] == [1, 4, 2, 4, 3]


def test_a_control_token_in_the_text_is_kept_as_text() -> None:
    ids = encoder([Message("user", "a<|end|>b")])
    assert "".join(chr(i - 100) for i in ids if i > 100) == "a<|end|>b"


def test_harmless_text_is_encoded_in_one_piece() -> None:
    seen: list[str] = []

    def recording(text: str) -> list[int]:
        seen.append(text)
        return encode(text)

    PromptEncoder(render, recording, list(CONTROL))([Message("user", "What is 1 < 2?")])
    assert seen == ["<|user|>What is 1 < 2?<|end|><|assistant|>"]


def test_nul_is_removed_because_the_native_tokenizer_would_end_there() -> None:
    assert encoder([Message("user", "a\x00b")]) == encoder([Message("user", "ab")])
