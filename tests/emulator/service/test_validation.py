"""What the schema allows and this engine can't do is refused in words, never ignored."""

from __future__ import annotations

from typing import Any

import pytest
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.validation import check_supported

from phi_client.contract.service import MANAGED_COMPUTE
from phi_client.contract.service.chat import ChatRequest

QUESTION = [{"role": "user", "content": "six times seven"}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -2}, "frequency_penalty"),
        ({"tools": [TOOL]}, "Tools and tool_choice are not supported."),
        ({"tool_choice": "auto"}, "Tools and tool_choice are not supported."),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "is not a multimodal model"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
        ({"top_p": 0}, "top_p must be in (0, 1]"),
        ({"stop": ["a", ""]}, "empty string"),
    ],
)
def test_it_is_refused_with_400(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ServiceError) as raised:
        check_supported(MANAGED_COMPUTE, ChatRequest.model_validate({"messages": QUESTION} | options))
    assert raised.value.refusal.status == 400
    assert raised.value.refusal.by_model
    assert words in str(raised.value.refusal.body)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"response_format": {"type": "Text"}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"max_tokens": 1, "top_p": 1, "temperature": 0, "stop": ["a"], "seed": 1, "stream": True},
    ],
)
def test_it_is_accepted(options: dict[str, Any]) -> None:
    check_supported(MANAGED_COMPUTE, ChatRequest.model_validate({"messages": QUESTION} | options))
