"""What each option may be: a value goes in, the value that is used comes out, or an error that says what to give.

It must not know which option is asked for: `what` names it in messages, as `` `timeout` `` or `` `PHI_MODEL` ``. Ranges
that differ between services are theirs to judge; a type that none of them takes is refused here, before anything is
sent. Values are shown only where they are short and plain.
"""

import math
import numbers
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, cast

from phi_client._call.errors import ConfigurationError
from phi_client._call.json_values import as_json, is_collection, is_number, kind_of, shown

__all__ = [
    "MOST_SECONDS",
    "as_choice",
    "as_extra",
    "as_failures",
    "as_flag",
    "as_format",
    "as_headers",
    "as_number",
    "as_seconds",
    "as_stops",
    "as_tools",
    "as_tries",
    "as_whole",
    "as_word",
    "one_of",
]

MOST_SECONDS: Final = 1_000_000.0
"""More than eleven days: beyond about twice that the system's own calls overflow."""

_W = TypeVar("_W", bound=str)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key"})
_FRAMING_HEADERS: Final = frozenset(
    {"connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"}
)
_FAILURE_WORDS: Final[tuple[Literal["timeout", "response"], ...]] = ("timeout", "response")
_FAILURE_STATUSES: Final = range(300, 600)


def as_number(what: str, value: object) -> int | float | None:
    """A finite number, of whatever library.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None:
        return None
    if not is_number(value):
        raise ConfigurationError(f"{what} is {shown(value)}: give a number")
    return cast("int | float", as_json(what, value))


def as_whole(what: str, value: object) -> int | None:
    """A whole number, which `1e4` is too.

    Raises:
        ConfigurationError: it is none.
    """
    number = as_number(what, value)
    if number is not None and number != int(number):
        raise ConfigurationError(f"{what} is {shown(number)}: give a whole number")
    return None if number is None else int(number)


def as_flag(what: str, value: object) -> bool | None:
    """True or false.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is not None and not isinstance(value, bool):
        raise ConfigurationError(f"{what} is {shown(value)}: give True or False")
    return value


def as_seconds(what: str, value: object) -> float | None:
    """A time that can be waited for; `None` is no limit.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None:
        return None
    seconds: float = as_json(what, value) if is_number(value) and not _is_endless(value) else math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise ConfigurationError(
            f"{what} is {shown(value)}: give a number of seconds above 0 and up to {MOST_SECONDS:.0f}, "
            "or None for no limit"
        )
    return float(seconds)


def as_tries(what: str, value: object) -> int:
    """How often.

    Raises:
        ConfigurationError: it is no whole number from 0 on.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ConfigurationError(f"{what} is {shown(value)}: give a whole number, 0 or more")
    return int(value)


def as_word(what: str, value: object) -> str | None:
    """A name that goes into a body, a header or a URL, without white space around it.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, type):
        raise ConfigurationError(
            f"{what} is the class `{value.__name__}`: it names a deployment; a class of answers is the second "
            "argument of `parse(messages, Class)`"
        )
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} is {shown(value)}: give a string")
    word = value.strip()
    if not word or not word.isprintable():
        raise ConfigurationError(f"{what} is empty, or holds characters that no name has")
    return word


def one_of(what: str, value: object, choices: Sequence[_W]) -> _W:
    """One of the words.

    Raises:
        ConfigurationError: it is none of them.
    """
    for choice in choices:
        if isinstance(value, str) and value == choice:
            return choice
    listed = " or ".join(repr(choice) for choice in choices)
    raise ConfigurationError(f"{what} is {shown(value)}: give {listed}")


def as_stops(what: str, value: object) -> str | list[str] | None:
    """A string that ends the answer, or several.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    stops = as_json(what, value) if is_collection(value) else None
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in cast("list[object]", stops)):
        raise ConfigurationError(f"{what} is {kind_of(value)}: give a string, or a list of strings")
    return cast("list[str]", stops)


def as_tools(what: str, value: object) -> list[dict[str, Any]] | None:
    """Tools, each a mapping or a model of one.

    Raises:
        ConfigurationError: they are none.
    """
    if value is None:
        return None
    if not is_collection(value):
        raise ConfigurationError(f"{what} is {kind_of(value)}: give a list of tools")
    if any(callable(one) for one in cast("Collection[object]", value)):
        raise ConfigurationError(
            f'{what} holds a function: describe it, `{{"type": "function", "function": {{"name": …, '
            '"parameters": …}}`'
        )
    tools = as_json(what, value)
    if not isinstance(tools, list) or not all(isinstance(one, dict) for one in cast("list[object]", tools)):
        raise ConfigurationError(f"{what} holds what is no mapping: give a list of tools")
    return cast("list[dict[str, Any]]", tools)


def as_choice(what: str, value: object) -> str | dict[str, Any] | None:
    """Which tool: a word, or a mapping that names one.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    found = as_json(what, value)
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{what} is {kind_of(value)}: give 'auto', 'none', 'required', or a mapping that names a function"
        )
    return cast("dict[str, Any]", found)


def as_format(what: str, value: object) -> dict[str, Any] | None:
    """The form of an answer. azure-ai-inference gives its kind as a word, and a schema without what is around it.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, type):
        raise ConfigurationError(
            f"{what} is the class `{value.__name__}`: use `parse(messages, {value.__name__})`, which reads the "
            "answer as one"
        )
    if isinstance(value, str):
        return {"type": value}
    found = as_json(what, value)
    if not isinstance(found, dict):
        raise ConfigurationError(
            f'{what} is {kind_of(value)}: give a mapping such as `{{"type": "json_object"}}`'
        )
    form = cast("dict[str, Any]", found)
    if "type" not in form and isinstance(form.get("schema"), dict):
        return {"type": "json_schema", "json_schema": form}
    return form


def as_extra(what: str, value: object, *, taken: Collection[str]) -> dict[str, Any]:
    """Keys outside the schema; `taken` are those that have a place of their own.

    Raises:
        ConfigurationError: it is no mapping, or holds what can't be sent.
    """
    if value is None:
        return {}
    if not _is_mapping(value):
        raise ConfigurationError(f"{what} is {kind_of(value)}: give a mapping of keys for the body")
    extra: dict[str, Any] = as_json(what, value)
    own = sorted({"messages", "stream"} & extra.keys())
    if own:
        raise ConfigurationError(f"{what} holds {own}, which the call itself sets")
    options = sorted(extra.keys() & set(taken))
    if options:
        raise ConfigurationError(f"{what} holds {options}: give `{options[0]}=` as an option, beside `extra`")
    return extra


def as_headers(what: str, value: object) -> dict[str, str]:
    """Headers of a request. Those that carry a credential or frame the message are set elsewhere.

    Raises:
        ConfigurationError: names the header, never its value.
    """
    if value is None:
        return {}
    if not _is_mapping(value):
        raise ConfigurationError(f"{what} is {kind_of(value)}: give a mapping of names to strings")
    headers: dict[str, str] = {}
    for name, text in _items(what, cast("Mapping[object, object]", value)):
        if not isinstance(name, str) or not isinstance(text, str):
            named = shown(name) if isinstance(name, str) else f"with a name {kind_of(name)}"
            raise ConfigurationError(f"the header {named} has a value {kind_of(text)}: give strings")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            raise ConfigurationError(f"the header {name!r} has a name or a value that HTTP can't carry")
        if name.lower() in _CREDENTIAL_HEADERS:
            raise ConfigurationError(
                f"the header {name!r} is set by `api_key` or `credential`: give it there"
            )
        if name.lower() in _FRAMING_HEADERS:
            raise ConfigurationError(f"the header {name!r} is set by the connection: leave it out")
        if name.lower() in {other.lower() for other in headers}:
            raise ConfigurationError(f"the header {name!r} is given twice")
        headers[name] = text.strip(" \t")
    return headers


def as_failures(what: str, value: object) -> frozenset[int | str]:
    """Failures that another endpoint may do better at: statuses, and words for what has none.

    Raises:
        ConfigurationError: it names no failure.
    """
    if isinstance(value, str):
        given: Iterable[object] = value.replace(",", " ").split()
    elif isinstance(value, int):
        given = [value]
    elif is_collection(value):
        given = cast("Collection[object]", value)
    else:
        raise ConfigurationError(
            f"{what} is {kind_of(value)}: give statuses and words, such as (401, 'timeout')"
        )
    return frozenset(_failure(what, one) for one in given)


def _items(what: str, value: Mapping[object, object]) -> list[tuple[object, object]]:
    try:
        return list(value.items())
    except Exception as error:  # mappings are foreign code and raise anything
        raise ConfigurationError(f"{what} can't be read: {type(error).__name__}") from error


def _failure(what: str, value: object) -> int | str:
    if isinstance(value, str) and value.strip().lower() in _FAILURE_WORDS:
        return value.strip().lower()
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3  # noqa: PLR2004
    status = int(cast("int | str", value)) if is_whole or is_digits else 0
    if status not in _FAILURE_STATUSES:
        words = ", ".join(repr(word) for word in _FAILURE_WORDS)
        raise ConfigurationError(
            f"{what} holds {shown(value)}: give HTTP statuses from 300 to 599, and the words {words}"
        )
    return status


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
