"""Every fault there is, as data: its name, its parameters, what goes over the wire, what a good client does with it.

It must not make a fault. Rules are checked against this, and docs/reference/faults.md is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from phi_client.contract.service import SURFACES
from phi_client.contract.service.catalogue import CATALOGUE, ErrorRow
from phi_emulator.faults.duties import Duty

__all__ = ["EFFECTS", "ERRORS", "Effect", "Parameter", "Value", "duty_of_error"]

Value: TypeAlias = int | float | str
"""Of a parameter."""

ERRORS: Final[Mapping[str, ErrorRow]] = {row.name: row for row in CATALOGUE}

_DAY_S: Final = 86_400
_MOST_TOKENS: Final = 1_000_000
_MOST_BYTES: Final = 64 * 1024 * 1024
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses with which the same request may well succeed later."""
_DUTIES_OF_ERRORS: Final = {
    "wrong_token": Duty.RENEWS_ITS_CREDENTIAL,
    "content_filter": Duty.NAMES_FILTER,
    "rate_limited": Duty.WAITS_AS_ASKED,
    "rate_limit_reached": Duty.WAITS_AS_ASKED,
    "model_not_ready": Duty.BACKS_OFF,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an effect; without a default it must be given.

    `kind` is its type, `least` and `most` bound a number, `choices` say what each of its words stands for.
    """

    name: str
    kind: type[int | float | str]
    meaning: str
    default: Value | None = None
    least: float = 0
    most: float = _MOST_TOKENS
    choices: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One way in which an answer fails.

    `duty` is what a good client does; where it depends on a parameter, that is named by `varies_by`. An effect
    `on_streams` says nothing about whole answers.
    """

    name: str
    wire: str
    duty: Duty | Mapping[str, Duty]
    varies_by: str = ""
    parameters: tuple[Parameter, ...] = ()
    on_streams: bool = False

    def duty_for(self, values: Mapping[str, Value]) -> Duty:
        """What a good client does when the parameters have these values."""
        return self.duty if isinstance(self.duty, Duty) else self.duty[str(values[self.varies_by])]


def duty_of_error(row: ErrorRow) -> Duty:
    """What a good client does with an error of the contract's catalogue."""
    status = row.refusal(SURFACES[row.surfaces[0]]).status
    otherwise = Duty.BACKS_OFF if status in _LATER else Duty.RAISES_STATUS
    return _DUTIES_OF_ERRORS.get(row.name, otherwise)


_AFTER_TOKENS: Final = Parameter(
    "tokens", int, "events with text that come before; no more than the answer has", 3
)
_HOW: Final = Parameter(
    "how",
    str,
    "how the connection ends",
    "reset",
    choices={"reset": "with a reset (RST)", "end": "as if the server ended (FIN)"},
)
_HEADER: Final = Parameter(
    "name", str, "the header, other than `Content-Length` and `Transfer-Encoding`", "Content-Type"
)


def _bytes(meaning: str, default: int, least: int = 0) -> Parameter:
    return Parameter("bytes", int, meaning, default, least=least, most=_MOST_BYTES)


def _seconds(meaning: str, default: float, name: str = "seconds") -> Parameter:
    return Parameter(name, float, meaning, default, most=_DAY_S)


_RETRY_AFTER: Final = {
    "seconds": ("`Retry-After` in seconds", Duty.WAITS_AS_ASKED),
    "date": ("`Retry-After` as a date, so many seconds from now", Duty.WAITS_AS_ASKED),
    "ms": ("`retry-after-ms`", Duty.WAITS_AS_ASKED),
    "x_ms": ("`x-ms-retry-after-ms`", Duty.WAITS_AS_ASKED),
    "reset_requests": ("`x-ratelimit-reset-requests` in seconds", Duty.WAITS_AS_ASKED),
    "reset_tokens": ("`x-ratelimit-reset-tokens` in seconds", Duty.WAITS_AS_ASKED),
    "huge": ("`Retry-After: 999999999`, 31 years", Duty.WAITS_NO_AGE),
    "past_date": ("`Retry-After` as a date that was an hour ago", Duty.BACKS_OFF),
    "zero": ("`Retry-After: 0`", Duty.BACKS_OFF),
    "negative": ("`Retry-After: -1`", Duty.BACKS_OFF),
    "garbage": ("`Retry-After: soon`", Duty.BACKS_OFF),
    "absent": ("no such header", Duty.BACKS_OFF),
}
_NO_END: Final = {
    "both": ("neither finish reason nor `[DONE]`", Duty.KEEPS_TEXT),
    "finish_reason": ("no finish reason, but `[DONE]`", Duty.KEEPS_TEXT),
    "done": ("a finish reason, but no `[DONE]`", Duty.SAME_ANSWER),
}

_ALL: Final = (
    Effect(
        name="error",
        wire="An error of [the catalogue](coverage.md#errors), with the body and headers of its surface, in the place "
        "of the answer. Requests to surfaces that don't have it pass.",
        duty={name: duty_of_error(row) for name, row in ERRORS.items()},
        varies_by="error",
        parameters=(
            Parameter("error", str, "which", choices={name: row.trigger for name, row in ERRORS.items()}),
        ),
    ),
    Effect(
        name="retry_after",
        wire="The surface's 429, which says in one of many forms when to come back.",
        duty={name: duty for name, (_, duty) in _RETRY_AFTER.items()},
        varies_by="form",
        parameters=(
            Parameter(
                "form",
                str,
                "how it is said",
                "seconds",
                choices={name: what for name, (what, _) in _RETRY_AFTER.items()},
            ),
            _seconds("the wait, in the forms that name one", 2.0),
        ),
    ),
    Effect(
        name="expired_token",
        wire="The surface's 401 for a token that is no longer good. With `times = 1` the next one is.",
        duty=Duty.RENEWS_ITS_CREDENTIAL,
    ),
    Effect(
        name="wait",
        wire="Nothing for a while, then the answer.",
        duty=Duty.IS_PATIENT,
        parameters=(_seconds("before the first byte", 5.0),),
    ),
    Effect(
        name="stall",
        wire="A stream that stops in the middle, then goes on.",
        duty=Duty.IS_PATIENT,
        parameters=(_AFTER_TOKENS, _seconds("of silence", 3600.0)),
        on_streams=True,
    ),
    Effect(
        name="slow",
        wire="A stream with a pause before each token.",
        duty=Duty.SAME_ANSWER,
        parameters=(_seconds("before each event with text", 0.5),),
        on_streams=True,
    ),
    Effect(
        name="comments_only",
        wire="A stream that becomes comments (`: keep-alive`), then goes on.",
        duty=Duty.SEES_SILENCE,
        parameters=(
            _AFTER_TOKENS,
            Parameter("every", float, "seconds between two comments", 1.0, least=0.01, most=_DAY_S),
            _seconds("in which nothing else comes", 3600.0),
        ),
        on_streams=True,
    ),
    Effect(
        name="cut_head",
        wire="The connection ends before the status line, or within the head.",
        duty=Duty.SURVIVES_CONNECTION,
        parameters=(_bytes("of the head that come before; never the whole head", 0), _HOW),
    ),
    Effect(
        name="cut_body",
        wire="The connection ends within the body, of a stream or a whole answer.",
        duty=Duty.KEEPS_TEXT,
        parameters=(_bytes("of the body that come before; no more than it has", 500), _HOW),
    ),
    Effect(
        name="no_end",
        wire="A stream that ends regularly, without what says that it is complete.",
        duty={name: duty for name, (_, duty) in _NO_END.items()},
        varies_by="without",
        parameters=(
            Parameter(
                "without",
                str,
                "what is missing",
                "both",
                choices={name: what for name, (what, _) in _NO_END.items()},
            ),
        ),
        on_streams=True,
    ),
    Effect(
        name="malformed_event",
        wire="An event whose JSON breaks off, in the place of one that has some.",
        duty=Duty.RAISES,
        parameters=(_AFTER_TOKENS,),
        on_streams=True,
    ),
    Effect(
        name="oversized_event",
        wire="One event without text that is far larger than any other.",
        duty=Duty.NO_EMPTY_ANSWER,
        parameters=(_AFTER_TOKENS, _bytes("of its data", 8 * 1024 * 1024, least=64)),
        on_streams=True,
    ),
    Effect(
        name="error_in_stream",
        wire="An error after the stream began, then `[DONE]`.",
        duty=Duty.RAISES,
        parameters=(
            _AFTER_TOKENS,
            Parameter(
                "form",
                str,
                "how it is said",
                "object",
                choices={
                    "object": "`data:` with an `error` object",
                    "event": "`event: error`, as the containers have it",
                },
            ),
        ),
        on_streams=True,
    ),
    Effect(
        name="finish",
        wire="An answer that ends early, and says why. A whole one is cut after so many words; a stream says it when "
        "the model is through.",
        duty=Duty.NAMES_CUT,
        parameters=(
            Parameter(
                "reason",
                str,
                "the finish reason",
                "length",
                choices={
                    "length": "the budget of tokens is used up",
                    "content_filter": "the filter blocked the rest",
                },
            ),
            Parameter("tokens", int, "events with text that come before; of a whole answer, words", 3),
        ),
    ),
    Effect(
        name="split",
        wire="The same body in pieces that are cut anywhere, in the middle of a letter too.",
        duty=Duty.SAME_ANSWER,
        parameters=(_bytes("of each piece", 1, least=1),),
    ),
    Effect(
        name="other_sse",
        wire="The same stream in a form that the standard allows and Azure doesn't send.",
        duty=Duty.SAME_ANSWER,
        parameters=(
            Parameter(
                "form",
                str,
                "which",
                "crlf",
                choices={
                    "crlf": "lines that end with CRLF",
                    "cr": "lines that end with CR",
                    "multi_line": "data in several lines",
                    "bom": "a byte order mark at its begin",
                    "comments": "comments before each event and in it",
                },
            ),
        ),
        on_streams=True,
    ),
    Effect(
        name="content_type",
        wire="The same body under another content type.",
        duty=Duty.NO_EMPTY_ANSWER,
        parameters=(Parameter("value", str, "the content type", "text/html; charset=utf-8"),),
    ),
    Effect(
        name="header_twice",
        wire="One of the answer's headers twice.",
        duty=Duty.SAME_ANSWER,
        parameters=(_HEADER,),
    ),
    Effect(
        name="header_missing",
        wire="One of the answer's headers left out.",
        duty=Duty.NO_EMPTY_ANSWER,
        parameters=(_HEADER,),
    ),
    Effect(
        name="not_a_completion",
        wire="A 200 that is no answer.",
        duty=Duty.RAISES,
        parameters=(
            Parameter(
                "form",
                str,
                "what comes",
                "empty_object",
                choices={
                    "empty": "no byte",
                    "empty_object": "`{}`",
                    "html": "a page, as proxies have it",
                    "null_choices": "`choices` that are null",
                    "no_choices": "`choices` that are empty",
                    "truncated": "the half of a body",
                },
            ),
        ),
    ),
    Effect(
        name="content_length",
        wire="The same body with a `Content-Length` that is wrong, then the connection's end. What is beyond it comes "
        "after the answer.",
        duty=Duty.NO_EMPTY_ANSWER,
        parameters=(
            Parameter(
                "off",
                int,
                "bytes that it promises too many; below zero too few",
                100,
                least=-_MOST_BYTES,
                most=_MOST_BYTES,
            ),
        ),
    ),
)

EFFECTS: Final[Mapping[str, Effect]] = {effect.name: effect for effect in _ALL}
"""All effects by name."""
