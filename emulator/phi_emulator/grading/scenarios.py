"""Which trials are made: a list that shows each verdict in its plain forms, then as many as wanted by seed.

It must not run one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from phi_emulator.grading.answers import KINDS
from phi_emulator.grading.trials import REDIRECTS, Step, Trial, read_step

__all__ = ["Scope", "fixed_trials", "random_trials", "simpler"]

_SILENCE: Final = "seconds={silence}"
_STEPS: Final = (
    "1 retry_after form=seconds seconds={short}",
    "1- error error=validation",
    "1- error error=engine_failed",
    "1 cut_body bytes={half} how=end",
    "1 no_end without=both",
    "1 finish reason=length tokens={late}",
    "1 redirect status=307 to=port",
    "1- stall tokens=3 seconds={silence}",
    "1- wait seconds={silence}",
    "1 error_in_stream tokens={late} form=object",
    "1 retry_after form=date seconds={short}",
    "1- error error=wrong_key",
    "1 cut_body bytes={half} how=reset",
    "1 cut_body bytes={most} how=end",
    "1- retry_after form=absent",
    "1- comments_only tokens=3 every={beat} seconds={silence}",
    "1 finish reason=content_filter tokens={late}",
    "1 malformed_event tokens={late}",
    "1 error_in_stream tokens=3 form=object",
    "1 redirect status=308 to=host",
    "1 error error=engine_failed | 2 cut_body bytes={most} how=end",
    "1- error error=content_filter",
    "1 no_end without=finish_reason",
    "1- retry_after form=huge",
    "1 split bytes=1",
    "1 other_sse form=crlf",
    "1 not_a_completion form=empty_object",
    "1 not_a_completion form=html",
    "1 finish reason=length tokens=3",
    "1 redirect status=302 to=port",
    "1 error_in_stream tokens=3 form=event",
    "1 error error=timed_out",
)
_NEED_VIRTUAL: Final = ("wait", "stall", "comments_only")
_ERRORS_THAT_STAY: Final = (
    "validation", "wrong_key", "content_filter", "context", "too_large", "media_type", "unknown_route",
    "unsupported_value", "missing_key", "tools", "unknown_parameter", "unknown_deployment", "engine_refused", "no_role",
)  # fmt: skip
_ERRORS_THAT_PASS: Final = (
    "engine_failed", "timed_out", "rate_limited", "rate_limit_reached", "overloaded", "gateway_timeout",
    "container_failed", "help_text_only", "model_not_ready",
)  # fmt: skip
_FORMS: Final = ("seconds", "date", "huge", "absent", "garbage", "zero", "past_date", "negative")
_PIECES: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 23, 40, 400)
_MOST_LINE: Final = 3
_OFTEN, _SELDOM = 0.2, 0.05
_LATE: Final = 88
"""Percent of an answer of which the thoughts are over."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What there is to try with a program. An answer with nothing wrong has so many bytes of `body` and `tokens`, and
    its events end after the bytes in `ends`.

    `patience` is how many seconds of silence are too many, `None` where that can't be judged; `short` a wait that is
    short enough to be waited for.
    """

    streams: bool
    body: int
    tokens: int
    ends: Sequence[int]
    patience: float | None
    short: float

    def allows(self, step: Step) -> bool:
        """Whether it makes sense to try it."""
        if step.is_of_streams and not self.streams:
            return False
        return self.patience is not None or step.effect not in _NEED_VIRTUAL


def fixed_trials(scope: Scope, seed: int) -> Iterator[Trial]:
    """The list. What it finds is plain."""
    numbers = {
        "short": f"{scope.short:g}",
        "half": scope.body // 2,
        "most": max(scope.body * _LATE // 100, 1),
        "late": scope.tokens * _LATE // 100,
        "silence": f"{scope.patience or 0:g}",
        "beat": f"{max((scope.patience or 0) / 120, 0.05):g}",
    }
    yield Trial(seed=seed, pieces=3)
    for line in _STEPS:
        steps = tuple(read_step(part.strip()) for part in line.format_map(numbers).split("|"))
        if all(map(scope.allows, steps)):
            yield Trial(seed=seed, pieces=7, steps=steps)
    cut = read_step("1 finish reason=length tokens=400")
    yield Trial("cut-in-thoughts", seed, 7, (cut,))
    for kind in ("unopened", "box-in-thoughts", "no-thoughts"):
        yield Trial(kind, seed, 5)


def random_trials(scope: Scope, seed: int) -> Iterator[Trial]:
    """Trials without end, the same ones for the same seed."""
    chance = Random(seed)  # noqa: S311 - to be repeated is what it is for
    while True:
        kind = chance.choice([*KINDS][:-1])
        steps: list[Step] = []
        call = 1
        for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 2, _MOST_LINE))):
            goes_on = chance.random() < _OFTEN
            step = read_step(f"{call}{'-' if goes_on else ''} {_random_fault(chance, scope)}")
            if scope.allows(step):
                steps.append(step)
                call += 1
            if goes_on:
                break
        if chance.random() < _SELDOM:
            kind, steps = "cut-in-thoughts", [*steps, read_step(f"{call} finish reason=length tokens=400")]
        yield Trial(kind, chance.randrange(1, 1_000_000), chance.choice(_PIECES), tuple(steps))


def _random_fault(chance: Random, scope: Scope) -> str:
    tokens = chance.choice(
        (0, 1, 2, 3, 5, 8, 13, scope.tokens // 2, scope.tokens * _LATE // 100, scope.tokens)
    )
    place = chance.choice(
        (chance.randrange(1, max(scope.body, 2)), *([chance.choice(scope.ends)] if scope.ends else []))
    )
    silence = f"{scope.patience or 0:g}"
    return chance.choice(
        (
            lambda: f"retry_after form={chance.choice(_FORMS)} seconds={_wait(chance, scope)}",
            lambda: f"error error={chance.choice(_ERRORS_THAT_PASS)}",
            lambda: f"error error={chance.choice(_ERRORS_THAT_STAY)}",
            lambda: f"cut_body bytes={place} how={chance.choice(('end', 'reset'))}",
            lambda: f"cut_body bytes={place} how={chance.choice(('end', 'reset'))}",
            lambda: f"no_end without={chance.choice(('both', 'finish_reason', 'done'))}",
            lambda: f"malformed_event tokens={tokens}",
            lambda: f"error_in_stream tokens={tokens} form={chance.choice(('object', 'event'))}",
            lambda: f"finish reason={chance.choice(('length', 'content_filter'))} tokens={tokens}",
            lambda: f"split bytes={chance.choice((1, 2, 3, 7, 64, 511))}",
            lambda: f"other_sse form={chance.choice(('crlf', 'comments'))}",
            lambda: (
                "not_a_completion form="
                + chance.choice(("empty", "empty_object", "html", "null_choices", "no_choices", "truncated"))
            ),
            lambda: f"cut_head bytes={chance.choice((0, 1, 20, 100))} how={chance.choice(('end', 'reset'))}",
            lambda: f"content_length off={chance.choice((1, 100, 100_000))}",
            lambda: (
                f"redirect status={chance.choice((301, 302, 303, 307, 308))} to={chance.choice([*REDIRECTS])}"
            ),
            lambda: f"wait seconds={silence}",
            lambda: f"stall tokens={tokens} seconds={silence}",
            lambda: f"slow seconds={0.01 if scope.short < 5 else 0.5}",  # noqa: PLR2004 - where time is real
        )
    )()


def _wait(chance: Random, scope: Scope) -> str:
    return f"{scope.short if scope.patience is None else chance.choice((1, 2, 5, 30, 61, 300)):g}"


def simpler(trial: Trial) -> Iterator[Trial]:
    """Trials that are simpler in one thing, those that lose most first."""
    for number in range(len(trial.steps)):
        yield replace(trial, steps=_moved(trial.steps[:number], trial.steps[number + 1 :]))
    for number, step in enumerate(trial.steps):
        if step.goes_on:
            once = read_step(f"{step.call} {step.line}")
            yield replace(trial, steps=(*trial.steps[:number], once, *trial.steps[number + 1 :]))
        for line in _simpler_lines(step):
            other = read_step(f"{step.call}{'-' if step.goes_on else ''} {line}")
            yield replace(trial, steps=(*trial.steps[:number], other, *trial.steps[number + 1 :]))
    if trial.kind not in ("plain", "cut-in-thoughts"):
        yield replace(trial, kind="plain")
    if trial.pieces != _PLAIN_PIECES:
        yield replace(trial, pieces=_PLAIN_PIECES)
    if trial.seed != 1:
        yield replace(trial, seed=1)


_PLAIN_PIECES: Final = 7


def _moved(before: Sequence[Step], after: Sequence[Step]) -> tuple[Step, ...]:
    """Those after a step that is left out meet the request before theirs."""
    moved = (read_step(f"{step.call - 1}{'-' if step.goes_on else ''} {step.line}") for step in after)
    return (*before, *moved)


def _simpler_lines(step: Step) -> Iterator[str]:
    """The same fault with a parameter left out, which then has its default, or with a smaller number."""
    name, *words = step.line.split()
    if step.leads_elsewhere or name == "error":
        return
    for number, word in enumerate(words):
        key, _, value = word.partition("=")
        if key in ("seconds", "every"):
            continue  # times are parts of what is shown
        if key != "form":
            yield " ".join([name, *words[:number], *words[number + 1 :]])
        if key in ("bytes", "tokens") and value.isdecimal() and int(value) > 1:
            for smaller in dict.fromkeys((int(value) // 2, int(value) - 1)):
                yield " ".join([name, *words[:number], f"{key}={smaller}", *words[number + 1 :]])
