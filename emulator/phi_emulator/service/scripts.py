"""The scripts of a running emulator: which rules hold now, which answer a request gets, and which requests got none.

It must not know HTTP, or how an answer is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from phi_emulator.engine.errors import UnscriptedError
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.errors import ScriptError
from phi_emulator.scripts.file import ScriptFile
from phi_emulator.scripts.matching import SlowRegexError
from phi_emulator.scripts.near import rule_name
from phi_emulator.scripts.replies import Reply
from phi_emulator.scripts.rules import Missed, Rule, Script, ScriptRules, read_miss, read_rule
from phi_emulator.scripts.state import ScriptState, Unmatched
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour

__all__ = ["Cue", "ScriptCount", "Scripts"]

logger = logging.getLogger("phi_emulator.script")

_NO_MODEL: Final = (
    "needs a model, and none is loaded: start with `--script FILE`, and not with `--model scripted:FILE`"
)


@dataclass(frozen=True, slots=True)
class ScriptCount:
    """A rule as a table, how many calls it was about, and how many of them it answered."""

    rule: Mapping[str, Any]
    calls: int
    answers: int


@dataclass(frozen=True, slots=True)
class Cue:
    """The reply that a request gets."""

    reply: Reply
    rule: str
    """Whose it is, in a few words."""
    give_back: Callable[[], None]
    """Lets the reply be given again: nothing came of it."""


class Scripts:
    """The rules of the script's file and those that were added, to be changed at any time and from any thread.

    A change holds for requests that come after it. A scope is what a request has in `x-phi-scope`: rules may be those
    of one scope, and each scope has its own counts and misses, so that tests that run side by side don't meet. The
    rules of a scope are asked first, then those that were added for all, then those of the file. Of a thousand scopes
    the one that was not used for longest is forgotten, its rules, its counts and its misses.

    `file` is read again once it has changed; `first` is what it held at the start. `has_model` is whether a model is
    there to answer what no rule is about.
    """

    def __init__(
        self,
        behaviour: CurrentBehaviour,
        *,
        file: ScriptFile | None = None,
        first: Script | None = None,
        has_model: bool = True,
    ) -> None:
        self.file = file
        self._behaviour = behaviour
        self._has_model = has_model
        self._state = ScriptState(self._forget)
        self._first = first or Script()
        self._change(lambda _: ScriptRules(file=self._first, follows_file=file is not None))

    def answer(
        self,
        question: str | None = None,
        answer: str | Sequence[str | Mapping[str, Any]] | None = None,
        *,
        scope: str | None = None,
        **more: Any,
    ) -> None:
        r"""Add a rule behind those that were added before: what is asked just so is answered so.

        `question` is the whole last message; without it the rule is about whatever `more` says: `contains`, `regex`,
        `schema`, `request`, `turn`, `when`. `answer` is a text, or a list of answers to be given one after the other.
        Of `more` are also `reasoning`, `trace`, `model`, `chunks`, `finish_reason`, `usage`, `fault`, `times` and
        `repeat`: what each means is in docs/reference/scripts.md. With a `scope` the rule is for its requests alone.

            emulator.script.answer("What is 17 * 24?", r"\boxed{408}", reasoning="17 * 24 = 408")
            emulator.script.answer(contains="weather", fault={"effect": "error", "error": "rate_limited"}, times=1)

        Raises:
            ScriptError: there is no such key, a value can't be, or it needs a model and none is loaded.
        """
        table = {**more} | ({} if question is None else {"exact": question})
        if isinstance(answer, list | tuple):
            table["answers"] = [dict(one) if isinstance(one, Mapping) else one for one in answer]
        elif answer is not None:
            table["answer"] = answer
        script = self._checked(Script(rules=(read_rule(table),)), scope)
        self._change(lambda now: replace(now, added=(*now.added, *script.rules)))
        if scope is not None:
            self._state.use(scope)

    def set(
        self,
        rules: Script | Sequence[Rule | Mapping[str, Any]],
        *,
        scope: str | None = None,
        miss: Missed | None = None,
    ) -> None:
        """Put `rules` in the place of all others, those of the file too; with a scope in the place of its own.

        `miss` says what becomes of requests that no rule is about: `fail`, or `model`. Without it that is as before.

        Raises:
            ScriptError: a rule can't be used, or needs a model and none is loaded.
        """
        if not isinstance(rules, Script):
            read = [rule if isinstance(rule, Rule) else read_rule(dict(rule)) for rule in rules]
            rules = Script(rules=tuple(read))
        if miss is not None:
            rules = replace(rules, miss=read_miss(miss))
        script = self._checked(rules, scope)

        def changed(now: ScriptRules) -> ScriptRules:
            misses = dict(now.misses)
            if script.miss is not None:
                misses[scope] = script.miss
            if scope is None:
                return ScriptRules(
                    file=replace(now.file, rules=()), added=script.rules, misses=misses, follows_file=False
                )
            others = tuple(rule for rule in now.added if rule.when.scope != scope)
            return replace(now, added=(*others, *script.rules), misses=misses)

        self._change(changed)
        if scope is not None:
            self._state.use(scope)

    def reset(self, *, scope: str | None = None) -> None:
        """Back to the rules of the file, and no counts; with a scope its own rules and counts are forgotten."""

        if scope is None:
            self._change(lambda _: ScriptRules(file=self._first, follows_file=self.file is not None))
        else:
            self._forget(scope)
        self._state.reset(scope)

    def counts(self, *, scope: str = "") -> list[ScriptCount]:
        """The rules that hold in a scope, in their order, with what they have met there."""
        found = self._state.counts(self._now.of_scope(scope), scope)
        return [ScriptCount(rule.table, count.calls, count.faults) for rule, count in found]

    def unmatched(self, *, scope: str = "") -> list[Unmatched]:
        """The last requests of a scope that no rule was about, in their order; a hundred at most.

        Where there were no rules, and the model may answer, there is nothing to be unmatched.
        """
        return self._state.unmatched(scope)

    def miss(self, *, scope: str = "") -> Missed:
        """What becomes of a request of a scope that no rule is about."""
        return self._now.miss_of(scope, "model" if self._has_model else "fail")

    def look_again(self) -> None:
        """Read the file, if it has changed. A bad one is logged, and the rules from before hold. May wait a moment."""
        if self.file is None or not self.file.has_changed:
            return
        if self.file.reread(self._take_file):
            if self.file.trouble:
                logger.error("the script was changed, and the rules from before hold: %s", self.file.trouble)
            else:
                logger.info("the script %s was read again: %d rules", self.file.path, len(self._first.rules))

    async def cue(self, asked: Asked, request_id: str) -> Cue | None:
        """The reply to a request, which is counted with that; `None` lets the model answer.

        Raises:
            UnscriptedError: no rule is about it, and that is to fail.
        """
        if self.file is not None and self.file.has_changed:
            await asyncio.to_thread(self.look_again)
        rules, miss = self._now.of_scope(asked.scope), self.miss(scope=asked.scope)
        if not rules and miss == "model":
            return None
        try:
            taken = self._state.take(rules, asked)
        except SlowRegexError as error:
            raise UnscriptedError(str(error)) from None
        if taken is not None:
            name = rule_name(rules.index(taken.rule) + 1, taken.rule)
            return Cue(taken.rule.reply(taken.before), name, partial(self._state.give_back, taken))
        unmatched = await asyncio.to_thread(self._state.miss, rules, asked, request_id, miss)
        if miss == "fail":
            raise UnscriptedError(str(unmatched))
        logger.info("the model answers request %s: %s", request_id, unmatched)
        return None

    @property
    def _now(self) -> ScriptRules:
        return self._behaviour.now.script

    def _forget(self, scope: str) -> None:
        """Keep nothing that was added or set for a scope."""

        def changed(now: ScriptRules) -> ScriptRules:
            added = tuple(rule for rule in now.added if rule.when.scope != scope)
            misses = {name: miss for name, miss in now.misses.items() if name != scope}
            return replace(now, added=added, misses=misses)

        self._change(changed)

    def _checked(self, script: Script, scope: str | None = None) -> Script:
        needed_by = None if self._has_model else script.model_needed_by
        if needed_by is not None:
            raise ScriptError(f"{needed_by} {_NO_MODEL}")
        return script if scope is None else script.in_scope(scope)

    def _take_file(self, script: Script) -> None:
        self._first = self._checked(script)
        self._change(lambda now: replace(now, file=script) if now.follows_file else now)

    def _change(self, edit: Callable[[ScriptRules], ScriptRules]) -> None:
        def changed(behaviour: Behaviour) -> Behaviour:
            return replace(behaviour, script=edit(behaviour.script))

        self._behaviour.change(changed)
