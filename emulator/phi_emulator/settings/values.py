"""Kinds of values that only an emulator has: keys, models, rules for faults and for the content filter.

It must not know which setting has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phi_client.contract.dialects import DIALECTS
from phi_client.contract.service.filter_results import SEVERITIES
from phi_client.contract.tokens import is_token
from phi_emulator.documents import DocumentError, counted, items_of, near, shown, table, text
from phi_emulator.faults.rules import Rule as FaultRule
from phi_emulator.faults.rules import read_rules as read_fault_rules
from phi_emulator.latency.profile import Profile
from phi_emulator.latency.reading import is_file as is_latency_file
from phi_emulator.models.strict_json import object_of
from phi_emulator.scripts.rules import Script, read_script
from phi_emulator.service.content_filter import CATEGORIES, DEFAULT_RULES, MAX_WORD_LENGTH, rules_in
from phi_emulator.service.content_filter import Rule as FilterRule
from phi_emulator.service.content_filter import read_rules as read_filter_rules
from phi_emulator.settings.kinds import FilePath, Kind, Where

__all__ = [
    "NOTHING",
    "SCRIPTED",
    "TRACES",
    "EndpointUrl",
    "FaultRules",
    "FilterRules",
    "Key",
    "LatencyProfile",
    "ModelName",
    "ScriptRules",
    "SurfaceKeys",
]

SCRIPTED: Final = "scripted:"
"""What stands before the file of a script, in the place of a model's name."""
TRACES: Final = "traces"
"""In the place of a script's file: the canned traces."""
NOTHING: Final = "nothing"
"""In the place of a script's file: no rules but those that are added while it runs."""
_KEY_FORM: Final = "^[!-~]+$"


class Key(Kind):
    """What callers must present."""

    metavar = "KEY"
    is_secret = True
    is_in_repr = False

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "pattern": _KEY_FORM}

    def read(self, value: object) -> str:
        if (
            not isinstance(value, str)
            or not value.isascii()
            or not value.isprintable()
            or not value
            or " " in value
        ):
            raise DocumentError("a key is printable ASCII without spaces, because it travels in a header")
        if is_token(value):
            raise DocumentError("it has the form of a signed token, and would be taken for one")
        return value


class EndpointUrl(Kind):
    """The URL of a service, as a client takes it. A credential in it is refused, and not repeated."""

    metavar = "URL"
    is_in_repr = False

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "pattern": r"^[^\s@]+$"}

    def read(self, value: object) -> str:
        url = text(value)
        if not url or any(letter.isspace() for letter in url):
            raise DocumentError("the URL of an endpoint is expected")
        if "@" in url:
            raise DocumentError("a URL without user and password is expected; the key is that in PHI_API_KEY")
        return url

    def shown(self, value: object) -> str:
        """Without what is in the query, which may be a key."""
        url, question, _ = str(value).partition("?")
        return f"{url}{question}{'…' if question else ''}"


class SurfaceKeys(Kind):
    """Keys of single surfaces: `NAME=KEY` in words, in a file a table of names with a key or a list of keys each."""

    metavar = "NAME=KEY"
    is_secret = True
    is_in_repr = False

    @property
    def schema(self) -> Mapping[str, Any]:
        key = Key().schema
        keys = {"anyOf": [key, {"type": "array", "items": key}]}
        return {
            "type": "object",
            "properties": dict.fromkeys(DIALECTS, keys),
            "additionalProperties": False,
        }

    def parse(self, word: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in word.split():
            name, separator, key = one.partition("=")
            if not separator or name not in DIALECTS:
                # Not repeated: it may be a key.
                surfaces = ", ".join(DIALECTS)
                raise DocumentError(f"words such as `serverless=KEY` are expected; surfaces are {surfaces}")
            found.setdefault(name, []).append(key)
        return found

    def read(self, value: object) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, keys in table(value).items():
            if name not in DIALECTS:
                raise DocumentError(f"there is no such surface{near(name, DIALECTS)}", name)
            several = items_of(keys)
            try:
                found[name] = tuple(map(Key().read, [keys] if several is None else several))
            except DocumentError as error:
                raise error.under(name) from None
        return found


@dataclass(frozen=True, slots=True)
class ScriptRules(FilePath):
    """The file of a script, a word in its place, or the script itself as such a file has it."""

    words: tuple[str, ...] = (TRACES, NOTHING)
    is_in_repr = False

    @property
    def schema(self) -> Mapping[str, Any]:
        from phi_emulator.scripts.schema import script_schema  # noqa: PLC0415 - for editors alone

        return {"anyOf": [{"type": "string", "minLength": 1}, script_schema()]}

    def read(self, value: object) -> Any:
        if isinstance(value, str | Path):
            return FilePath.read(self, value)
        return value if isinstance(value, Script) else read_script(table(value))

    def located(self, value: Any, where: Where) -> Any:
        if isinstance(value, Script):
            return value.placed(where.document.places_of_tables(where.name, "rule"))
        return value if value in self.words else FilePath.located(self, value, where)

    def shown(self, value: object) -> str:
        return counted(len(value.rules), "rule") if isinstance(value, Script) else str(value)


class ModelName(FilePath):
    """The name of a model, the path of its folder, or the file of a script in its place."""

    @property
    def schema(self) -> Mapping[str, Any]:
        return {"type": "string", "minLength": 1}

    def read(self, value: object) -> str:
        name = str(FilePath.read(self, value))
        if name == SCRIPTED:
            raise DocumentError(f"the script's file is missing: name it as in {SCRIPTED}answers.toml")
        return name

    def located(self, value: Any, where: Where) -> str:
        name = str(value)
        if name.startswith(SCRIPTED):
            return f"{SCRIPTED}{ScriptRules().located(name.removeprefix(SCRIPTED), where)}"
        is_path = "/" in name or "\\" in name or name.startswith(("~", "."))
        return str(FilePath.located(self, name, where)) if is_path else name


@dataclass(frozen=True, slots=True)
class FilterRules(FilePath):
    """`off`, `default`, a file of words, or in a file their table."""

    words: tuple[str, ...] = ("off", "default")

    @property
    def schema(self) -> Mapping[str, Any]:
        severities = {
            "type": "object",
            "propertyNames": {"maxLength": MAX_WORD_LENGTH, "pattern": "\\S"},
            "additionalProperties": {"enum": [*SEVERITIES[1:]]},
        }
        words = {
            "type": "object",
            "properties": dict.fromkeys(CATEGORIES, severities),
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "string", "minLength": 1}, words]}

    def read(self, value: object) -> Any:
        found = object_of(value)
        if found is None:
            return FilePath.read(self, value)
        rules_in(found)
        return found

    def read_sent(self, value: object) -> Any:
        if isinstance(value, str | Path) and value not in self.words:
            raise DocumentError(f"{shown(value)} is neither `off` nor `default`, and no table of words")
        return self.read(value)

    def located(self, value: Any, where: Where) -> Any:
        is_path = isinstance(value, str) and value not in self.words
        return FilePath.located(self, value, where) if is_path else value

    def load(self, value: Any) -> tuple[FilterRule, ...]:
        if value in self.words:
            return DEFAULT_RULES if value == "default" else ()
        return read_filter_rules(Path(value)) if isinstance(value, str) else rules_in(value)

    def shown(self, value: object) -> str:
        return value if isinstance(value, str) else counted(len(rules_in(value)), "word")


class LatencyProfile(FilePath):
    """A preset, a file whose name ends so, or a profile as a line; in a file also as a table."""

    @property
    def schema(self) -> Mapping[str, Any]:
        from phi_emulator.latency.language import KEYS  # noqa: PLC0415 - for editors alone
        from phi_emulator.latency.presets import PRESETS  # noqa: PLC0415

        words = {key.name: {"type": ["string", "number"], "description": key.meaning} for key in KEYS}
        named: dict[str, Any] = {"preset": {"enum": [*PRESETS]}, "source": {"type": "string"}}
        profile = {"type": "object", "properties": named | words, "additionalProperties": False}
        return {"anyOf": [{"type": "string", "minLength": 1}, profile]}

    def read(self, value: object) -> Any:
        from phi_emulator.latency.language import read_line, read_table  # noqa: PLC0415 - most emulators have none

        found = object_of(value)
        if found is not None:
            read_table(found)
            return found
        word = FilePath.read(self, value)
        if not is_latency_file(word):
            read_line(word)
        return word

    def located(self, value: Any, where: Where) -> Any:
        is_path = isinstance(value, str) and is_latency_file(value)
        return FilePath.located(self, value, where) if is_path else value

    def load(self, value: Any) -> Profile | None:
        from phi_emulator.latency.language import read_table  # noqa: PLC0415 - as above
        from phi_emulator.latency.reading import read_setting  # noqa: PLC0415

        if value is None:
            return None
        return read_setting(value) if isinstance(value, str) else read_table(value)

    def shown(self, value: object) -> str:
        found = object_of(value)
        return str(value) if found is None else ", ".join(f"{name}={one}" for name, one in found.items())


class FaultRules(FilePath):
    """A file of rules, or the rules themselves as tables."""

    is_in_repr = False

    @property
    def schema(self) -> Mapping[str, Any]:
        from phi_emulator.faults.schema import rules_schema  # noqa: PLC0415 - for editors alone

        return {"anyOf": [{"type": "string", "minLength": 1}, rules_schema()]}

    def read(self, value: object) -> Any:
        if isinstance(value, str | Path):
            return FilePath.read(self, value)
        tables = items_of(value)
        if tables is None:
            raise DocumentError("a list of rules is expected, or the path of a file that has one")
        read_fault_rules(tables)
        return tuple(tables)

    def located(self, value: Any, where: Where) -> Any:
        return FilePath.located(self, value, where) if isinstance(value, str) else value

    def load(self, value: Any) -> tuple[FaultRule, ...]:
        from phi_emulator.faults.reading import read_file  # noqa: PLC0415 - most emulators have none

        if value is None:
            return ()
        return read_file(Path(value)) if isinstance(value, str) else read_fault_rules([*value])

    def shown(self, value: object) -> str:
        tables = items_of(value)
        return str(value) if tables is None else counted(len(tables), "rule")
