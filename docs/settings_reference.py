"""Writes `docs/reference/settings.md` and the JSON Schema beside it: every setting of the emulator, from their table.

python docs/settings_reference.py            write both
python docs/settings_reference.py --check    exit 1 when one is not what would be written
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pages import table, write_or_check
from phi_emulator.config import SETTINGS
from phi_emulator.settings.schema import schema_of
from phi_emulator.settings.setting import Group, Setting
from phi_emulator.settings.sources import FILE_NAME, FILE_VARIABLE

FOLDER: Final = Path(__file__).parent / "reference"
PAGE: Final = FOLDER / "settings.md"
SCHEMA: Final = FOLDER / "phi-emulator.schema.json"

HEAD: Final = f"""\
# Settings of the emulator

<!-- written by `python docs/settings_reference.py`; change the table in config/table.py, not this page -->

Each setting is a key of the file `{FILE_NAME}`, an option of `phi-emulator serve`, `exec` and `chat`, a variable of the
environment, and a field of `EmulatorConfig`. The command line wins over the environment, that over the file, and the file over
the default.

```toml
#:schema ./phi-emulator.schema.json
port = 16180
deployments = ["phi"]
requests_per_minute = 60
latency = "first=800ms, rate=40/s"

[surface_keys]
openai_v1 = "a-key-of-its-own"

[content_filter.violence]
sword = "high"

[[faults]]
effect = "stall"
tokens = 2
times = 1
when.surface = "openai_v1"

[[script.rule]]
contains = "17 * 24"
answer = "408"
```

- The file is the one that `--config` or `{FILE_VARIABLE}` names, else `{FILE_NAME}` in the working directory. Its name is said at
  the start. `EmulatorConfig.from_file` reads one in Python; `pyproject.toml` is not looked at.
- Paths in it are relative to it. `model` is a path where it has a `/` or begins with `.` or `~`; else it is a name.
- `faults`, `script`, `latency` and `content_filter` hold a path or a word, or what such a file holds: `[[faults]]`, `[[script.rule]]` and
  `script.miss`, `[latency]`, `[content_filter.violence]`. A script's file is followed while the emulator runs; the file of settings is
  read once.
- What can't be is an error with file, line and key: `phi-emulator.toml:4: prot: there is no such setting: did you mean 'port'?`
- A variable `PHI_EMULATOR_…` that is no setting is told at the start, and changes nothing. It doesn't stop the emulator: Kubernetes
  makes such variables for a service of this name.
- Keys may stand in the file. They are never shown.
- `serve`, `exec` and `bench` read all of it. `record` and `replay` read [their own part](../how-to/record-and-replay.md#record), and `doctor`
  says whether it can be used.
- `phi-emulator config show` prints the settings that hold and where each is from; `phi-emulator config schema` prints
  [the JSON Schema](phi-emulator.schema.json), which editors take from the first line of the example.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for group in Group:
        rows = list(_rows(group))
        parts += [f"## {group}\n", table(["Key", "What it does", "Value", "Without it", "Environment"], rows)]
    return "\n".join(parts)


def schema() -> str:
    """The schema as it is published."""
    return json.dumps(schema_of(SETTINGS, FILE_NAME), indent=2, ensure_ascii=False) + "\n"


def _rows(group: Group) -> Iterator[list[str]]:
    for one in SETTINGS.values():
        if one.group is group:
            yield [
                f"`{one.name}`",
                one.text.replace("|", "\\|"),
                _value(one),
                _without(one),
                f"`{one.variable}`",
            ]


def _value(one: Setting) -> str:
    if one.kind.choices:
        return ", ".join(f"`{word}`" for word in one.kind.choices)
    schema = one.kind.schema
    if "minimum" in schema or "exclusiveMinimum" in schema:
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        above = "above " if "exclusiveMinimum" in schema else ""
        return f"{above}{least:,} to {schema['maximum']:,}"
    return (
        "`true`, `false`"
        if schema.get("type") == "boolean"
        else f"`{one.kind.metavar.replace('|', chr(92) + '|')}`"
    )


def _without(one: Setting) -> str:
    if one.default in (None, (), {}) or one.kind.is_secret:
        return one.without or "none"
    return f"`{one.kind.shown(one.default)}`"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()) or write_or_check(SCHEMA, schema()))
