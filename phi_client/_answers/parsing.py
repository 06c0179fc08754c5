r"""`parse()`, without I/O: the schema joins the prompt, JSON is found in the content, a misfit is asked for again.

It must not send anything, and must not know whether it is sync or async.

    ask ──content──> JSON that fits ──> parsed
     ^                  └── none ──> asks left? ──no, or the content was cut──> ParseError
     └── what is wrong with it ───────────┘

The hosted model has no JSON mode, so content may hold prose, code fences or a `\boxed{}` around the JSON. The last
value that fits wins, because a model that shows an example first ends with its answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from pydantic import BaseModel, PydanticUserError, ValidationError

from phi_client._call.boxes import find_boxed_answer
from phi_client._call.completion import Completion
from phi_client._call.errors import ConfigurationError, PhiError
from phi_client._call.interruptions import ParseError, ReasoningTruncatedError
from phi_client._call.messages import as_messages, fields_of
from phi_client._call.totals import add_usage
from phi_client._call.values import as_tries

if TYPE_CHECKING:
    from phi_client._call.request_types import Message
    from phi_client.contract.answers import Usage

__all__ = ["ParsedCompletion", "Parsing", "find_json"]

MOST_MISSES: Final = 1000
"""Places in a content that look like JSON and are none, after which no more is looked for."""
MOST_VALUES: Final = 100
"""Values in a content that are tried, from the last."""

_M = TypeVar("_M", bound=BaseModel)

_INSTRUCTION: Final = (
    "When your reasoning is done, answer with one JSON value that fits this JSON Schema, "
    "and with nothing else:\n"
)
_CORRECTION: Final = (
    "That answer does not fit the JSON Schema: {problems}. Answer again, with the corrected JSON only."
)
_FENCE: Final = re.compile(r"```\w*\s*\n?(.*?)```", re.DOTALL)
# What can begin JSON, but not the braces of LaTeX.
_BEGINNING: Final = re.compile(r'\{\s*["}]|\[\s*(?:[\]\[{"\d-]|true|false|null)')
_MOST_PROBLEMS: Final = 5
_CUT: Final = frozenset({"length", "content_filter"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCompletion(Generic[_M]):
    """A completion whose content fits a model.

    `parsed` is the model's instance, `completion` the answer that fitted, `asks` how many were needed, and `usage`
    the tokens of all of them.
    """

    parsed: _M
    completion: Completion
    usage: Usage | None
    asks: int


class Parsing(Generic[_M]):
    """The state of one `parse()`; `messages` is what to send next.

    Raises:
        ConfigurationError: the arguments can't work.
    """

    def __init__(self, messages: str | Sequence[Message], model: type[_M], max_reasks: int) -> None:
        # Reached by callers without a type checker, to whom pydantic's own message would say little.
        given = cast("object", model)
        if not (isinstance(given, type) and issubclass(given, BaseModel)) or given is BaseModel:
            raise ConfigurationError("`parse()` needs a class derived from `pydantic.BaseModel`")
        self._model = model
        self._asks_left = as_tries("`max_reasks`", max_reasks) + 1
        self._asks = 0
        self._usages: list[Usage | None] = []
        self.messages: Sequence[Message] = _with_schema(as_messages(messages), model)

    def take(self, completion: Completion) -> ParsedCompletion[_M] | None:
        """The result, or `None` when `messages` are to be sent again.

        Raises:
            ParseError: the content does not fit, and asking again is of no use, or was of none.
        """
        self._asks += 1
        self._usages.append(completion.usage)
        fitting, problems = self._fit(completion.content)
        usage = add_usage(self._usages)
        if fitting is not None:
            return ParsedCompletion(parsed=fitting, completion=completion, usage=usage, asks=self._asks)
        is_cut = completion.finish_reason in _CUT
        if is_cut:
            problems = (*problems, f"it was cut off (`finish_reason` {completion.finish_reason!r})")
        if is_cut or self._asks >= self._asks_left:
            raise ParseError(
                f"the content does not fit {self._model.__name__}: {'; '.join(problems)}",
                completion=completion,
                problems=problems,
                spent=usage,
                asks=self._asks,
            )
        self.messages = [
            *self.messages,
            {"role": "assistant", "content": completion.content},
            {"role": "user", "content": _CORRECTION.format(problems="; ".join(problems))},
        ]
        return None

    def _fit(self, content: str) -> tuple[_M | None, tuple[str, ...]]:
        """The first that fits; else what is wrong with the likeliest that is JSON at all."""
        misfits: list[ValidationError] = []
        broken: list[ValidationError] = []
        for text in find_json(content):
            try:
                return self._model.model_validate_json(text), ()
            except ValidationError as error:
                is_json = error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid"
                if is_json:
                    misfits.append(error)
                elif text.startswith(("{", "[")):
                    broken.append(error)
        told = [*misfits, *broken]
        return None, tuple(_problems(told[0])) if told else ("there is no JSON in it",)

    @contextmanager
    def keeping_account(self) -> Generator[None]:
        """Let an error that ends the call say what the asks before it have used."""
        try:
            yield
        except PhiError as error:
            if not isinstance(error, ParseError):
                last = error.partial.usage if isinstance(error, ReasoningTruncatedError) else None
                error.spent = add_usage([*self._usages, last])
            raise


def find_json(content: str) -> Iterator[str]:
    r"""Texts in `content` that may be the JSON asked for, the likeliest first.

    The whole content, then objects and arrays from the last to the first, then what stands in code fences and in
    the last `\boxed{}`. Values that are not objects or arrays are found only if they stand alone.
    """
    if content.strip():
        yield content.strip()
    yield from reversed(list(_values(content))[-MOST_VALUES:])
    fences = [fence[1].strip() for fence in _FENCE.finditer(content)]
    yield from reversed([inside for inside in fences if inside][-MOST_VALUES:])
    boxed = find_boxed_answer(content)
    if boxed:
        yield boxed
        # Inside a box the model may write braces as LaTeX wants them.
        yield boxed.replace(r"\{", "{").replace(r"\}", "}").replace(r"\_", "_")


def _values(text: str) -> Iterator[str]:
    """Objects and arrays that stand in `text`, none inside another."""
    decoder = json.JSONDecoder()
    place = misses = 0
    while misses < MOST_MISSES and (found := _BEGINNING.search(text, place)):
        try:
            _, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            place, misses = found.start() + 1, misses + 1
            continue
        yield text[found.start() : end]
        place = end


def _problems(error: ValidationError) -> Iterator[str]:
    """Where and what, without the values: they may repeat the prompt."""
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]:
        where = ".".join(str(part) for part in item["loc"])
        yield f"{where}: {item['msg']}" if where else item["msg"]


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except PydanticUserError as error:
        said = error.message.partition("\n")[0].strip()
        raise ConfigurationError(f"`{model.__name__}` can't be described by a JSON Schema: {said}") from error


def _with_schema(messages: Sequence[Message], model: type[BaseModel]) -> list[Message]:
    """The messages with the schema at the end of the last one of the user, or as a message of its own.

    Not as a system message, which this model's template moves away from the question.
    """
    instruction = _INSTRUCTION + json.dumps(_schema_of(model))
    listed = list(messages)
    fields: dict[str, Any] = fields_of(listed[-1]) if listed else {}
    content = fields.get("content")
    if fields.get("role") != "user" or not isinstance(content, str | list):
        return [*listed, {"role": "user", "content": instruction}]
    if isinstance(content, str):
        joined: object = f"{content}\n\n{instruction}"
    else:
        joined = [*cast("list[object]", content), {"type": "text", "text": f"\n\n{instruction}"}]
    return [*listed[:-1], {**fields, "content": joined}]
