"""A script: rules that say which requests are answered with what, as immutable values, read strictly from tables.

    [[rule]]
    contains = "17 * 24"                    # what is asked of the messages; without anything, whatever is asked
    when.surface = "serverless"             # what is asked of the call, as rules for faults have it
    reasoning = "17 * 24 = 408"             # what is answered
    answer = "The answer is 408."

It must not count: how often a rule was asked is kept in `state`. Nor must it know files or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from phi_emulator.documents import DocumentError, near, shown
from phi_emulator.faults.rules import When, read_when
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import list_of, object_of
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.errors import ScriptError, read_table, read_whole, script_error
from phi_emulator.scripts.matching import CONDITIONS, Condition, read_condition
from phi_emulator.scripts.replies import REPLIES, Reply, read_reply

__all__ = [
    "FILE_KEYS",
    "MISSES",
    "MOST_RULES",
    "RULE_KEYS",
    "Missed",
    "Rule",
    "Script",
    "ScriptError",
    "ScriptRules",
    "read_miss",
    "read_rule",
    "read_script",
]

Missed: TypeAlias = Literal["fail", "model"]
"""What becomes of a request that no rule is about."""

MISSES: Final[tuple[Missed, ...]] = ("fail", "model")
MOST_RULES: Final = 1000
_SHOWN: Final = 200
RULE_KEYS: Final[Mapping[str, str]] = {
    "when": "a table of conditions as [faults](faults.md#rules) have them: `surface`, `headers`, `scope`, `call`, …",
    "times": "how often the rule answers at most",
    "answers": "a list of texts, or of tables of the keys above, which are the answers one after the other",
    "repeat": "`true`: after the last of `answers` the first one follows; else the rule answers no more",
}
"""What a rule may hold beside conditions and a reply."""
FILE_KEYS: Final[Mapping[str, str]] = {
    "rule": "the list of rules",
    "miss": 'what becomes of a request that no rule is about: `"fail"`, or `"model"`, where one is loaded',
}
"""What a file holds."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rule:
    """Which requests are answered with what. Two rules are the same only if they are one object."""

    conditions: Mapping[str, Condition]
    replies: tuple[Reply, ...]
    repeats: bool = False
    """After the last reply the first one follows."""
    when: When = field(default_factory=When)
    times: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """The table that it was read from."""
    place: str = ""
    """Where it stands: `answers.toml:7`; empty for one that was added while the emulator ran."""

    def fits(self, asked: Asked, before: int) -> bool:
        """Whether it is about a request, after so many that it was about.

        Raises:
            SlowRegexError: it can't be said.
        """
        fault = self.reply(before).fault
        return (
            self.when.fits(asked.call)
            and (fault is None or fault.suits(asked.call))
            and all(condition.holds(asked) for condition in self.conditions.values())
        )

    def reply(self, before: int) -> Reply:
        """The answer to the next request that it is about, after so many."""
        return self.replies[before % len(self.replies)]

    @property
    def table(self) -> dict[str, Any]:
        """What it asks of a request, to be shown, and how many answers it has. Values of headers are not shown."""
        shown_here: dict[str, Any] = {
            key: printable(value, _SHOWN) if isinstance(value, str) else value
            for key, value in self.given.items()
            if key in CONDITIONS
        }
        when = self.when.table
        shown_here |= {"when": when} if when else {}
        shown_here |= {} if self.times is None else {"times": self.times}
        shown_here |= {"place": self.place} if self.place else {}
        return {**shown_here, "answers": len(self.replies)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Rules in their order, and what becomes of a request that none is about; `None` leaves that to others."""

    rules: tuple[Rule, ...] = ()
    miss: Missed | None = None

    @property
    def model_needed_by(self) -> str | None:
        """What in it needs a model, if something does."""
        if self.miss == "model":
            return "`miss`"
        for number, rule in enumerate(self.rules, 1):
            if any(reply.needs_model for reply in rule.replies):
                return f"rule {number}"
        return None

    def placed(self, place: Callable[[int], str]) -> Script:
        """The same, whose n-th rule, from 0, stands at `place(n)`."""
        rules = (replace(rule, place=place(number)) for number, rule in enumerate(self.rules))
        return replace(self, rules=tuple(rules))

    def in_scope(self, scope: str) -> Script:
        """The same for one scope alone."""
        own = (replace(rule, when=replace(rule.when, scope=scope)) for rule in self.rules)
        return replace(self, rules=tuple(own))


def read_script(document: object) -> Script:
    """The script in what was read from a file, or from the body of a request.

    Raises:
        ScriptError: it holds something else.
    """
    given = object_of(document) or {}
    tables = list_of(given.get("rule"))
    if tables is None:
        raise ScriptError("a list of rules is expected under `rule`: write `[[rule]]`")
    for key in given:
        if key not in FILE_KEYS:
            raise ScriptError(f"there is nothing of that name{near(key, FILE_KEYS)}", key)
    if len(tables) > MOST_RULES:
        raise ScriptError(f"{len(tables)} rules, but {MOST_RULES} at most", "rule")
    rules: list[Rule] = []
    for number, table in enumerate(tables):
        try:
            rules.append(read_rule(table))
        except ScriptError as error:
            raise error.under("rule", number) from None
    return Script(rules=tuple(rules), miss=read_miss(given["miss"]) if "miss" in given else None)


def read_miss(value: object) -> Missed:
    """What becomes of a request that no rule is about.

    Raises:
        ScriptError: there is no such thing.
    """
    if value not in MISSES:
        raise ScriptError(f"{shown(value)} is none of its values{near(value, MISSES)}", "miss")
    return value


def read_rule(table: object) -> Rule:
    """The rule in a table.

    Raises:
        ScriptError: it has another form.
    """
    given = read_table(table)
    known = (*CONDITIONS, *REPLIES, *RULE_KEYS)
    for key in given:
        if key not in known:
            raise ScriptError(f"there is nothing of that name{near(key, known)}", key)
    try:
        when = read_when(read_table(given.get("when", {})))
    except DocumentError as error:
        raise script_error(error, "when") from None
    times = read_whole(given["times"], "times", least=1) if "times" in given else None
    own = {key: value for key, value in given.items() if key in REPLIES}
    if "answers" in given:
        if own or times is not None:
            other = next(iter(own), "times")
            raise ScriptError(f"`{other}` and `answers` can't both be: leave one out", other)
        replies = _read_replies(given["answers"])
    else:
        replies = (read_reply(own),)
    repeats = _read_repeat(given)
    return Rule(
        conditions={key: read_condition(key, value) for key, value in given.items() if key in CONDITIONS},
        replies=replies,
        repeats=repeats,
        when=when,
        times=len(replies) if "answers" in given and not repeats else times,
        given=given,
    )


def _read_replies(value: object) -> tuple[Reply, ...]:
    given = list_of(value)
    if not given:
        raise ScriptError("a list of answers is expected, with one at least", "answers")
    replies: list[Reply] = []
    for number, one in enumerate(given):
        table = object_of(one)
        try:
            replies.append(read_reply({"answer": one} if table is None else table))
        except ScriptError as error:
            path = () if table is None else error.path
            raise ScriptError(error.reason, "answers", number, *path) from None
    return tuple(replies)


def _read_repeat(given: Mapping[str, Any]) -> bool:
    if "repeat" not in given:
        return False
    if not isinstance(given["repeat"], bool):
        raise ScriptError(f"{shown(given['repeat'])} is neither `true` nor `false`", "repeat")
    if "answers" not in given:
        raise ScriptError(
            "it is about a list of `answers`; a single answer is given again and again", "repeat"
        )
    return given["repeat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRules:
    """All rules that hold now: those of the file, before them those that were added, before them those of one scope."""

    file: Script = Script()
    added: tuple[Rule, ...] = ()
    misses: Mapping[str | None, Missed] = field(default_factory=dict[str | None, Missed])
    """What becomes of requests that no rule is about, by their scope; `None` is any."""
    follows_file: bool = False
    """Whether a change of the file is one of these rules."""

    @property
    def is_used(self) -> bool:
        """Whether anything may come of it."""
        return bool(self.added or self.file.rules or self.follows_file)

    def of_scope(self, scope: str) -> list[Rule]:
        """The rules that a request of a scope may meet, in their order."""
        every = (*self.added, *self.file.rules)
        own = [rule for rule in every if rule.when.scope == scope]
        return [*own, *(rule for rule in every if rule.when.scope is None)]

    def miss_of(self, scope: str, otherwise: Missed) -> Missed:
        """What becomes of a request of a scope that no rule is about."""
        return self.misses.get(scope) or self.misses.get(None) or self.file.miss or otherwise
