"""Writes `docs/reference/faults.md`: every fault of the emulator, and what a good client does with it.

python docs/fault_reference.py            write the page
python docs/fault_reference.py --check    exit 1 when the page is not what would be written
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pages import SURFACES, table, write_or_check
from phi_emulator.faults.catalogue import EFFECTS, ERRORS, Effect, Parameter
from phi_emulator.faults.duties import Duty
from phi_emulator.faults.rules import CONDITIONS

from phi_client.contract.service import SURFACES as SPOKEN

PAGE: Final = Path(__file__).parent / "reference" / "faults.md"

HEAD: Final = """\
# Faults

<!-- written by `python docs/fault_reference.py`; change the catalogue, not this page -->

What the emulator can do to an answer, and what a good client does with it. [How to begin](../how-to/my-first-fault.md).
A fault happens to the real answer of the model or of the surface; what the request itself does wrong is refused before.
A *token* is an event of the stream that carries text. Bytes are those of the body, as they are without transfer coding.
"""

RULES: Final = """\
A rule is a table: `effect`, its parameters, and if wanted `times` (how often at most) and `when`. All rules that fit count a
call, and the first one that is due happens. The same rules, seeds and order of calls give the same faults.

```toml
[[faults]]
effect = "stall"
tokens = 2
seconds = 30
times = 1
when.surface = "openai_v1"
when.call = "2-"
```

In a line, as the header `x-phi-fault` has it for one request: `stall tokens=2 seconds=30`.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## Rules\n",
        RULES,
        table(["`when.…`", "Holds for"], [[f"`{name}`", text] for name, text in CONDITIONS.items()]),
        "## Effects\n",
        table(["Effect", "On the wire", "Parameters", "A good client"], _effects()),
    ]
    for effect in EFFECTS.values():
        if effect.name != "error" and not isinstance(effect.duty, Duty):
            parts += [
                f"### `{effect.name}`\n",
                table([f"`{effect.varies_by}`", "", "A good client"], _forms(effect)),
            ]
    parts += [
        "### `error`\n",
        table(["`error`", "When Azure says it", "Status", "Said by", "A good client"], _errors()),
    ]
    return "\n".join(parts)


def _effects() -> Iterator[list[str]]:
    for effect in EFFECTS.values():
        wire = effect.wire + (" Streams only." if effect.on_streams and "tream" not in effect.wire else "")
        duty = (
            effect.duty.value
            if isinstance(effect.duty, Duty)
            else f"see [`{effect.varies_by}`](#{effect.name})"
        )
        yield [f"`{effect.name}`", wire, "<br>".join(map(_parameter, effect.parameters)), duty]


def _parameter(parameter: Parameter) -> str:
    default = "" if parameter.default is None else f"; default {_written(parameter.default)}"
    words = ""
    if parameter.choices and len(parameter.choices) < len(ERRORS):
        words = ": " + ", ".join(f"`{word}`" for word in parameter.choices)
    return f"`{parameter.name}` {parameter.meaning}{words}{default}"


def _written(value: float | str) -> str:
    return f"`{value}`" if isinstance(value, str) else f"{value:,}".removesuffix(".0")


def _forms(effect: Effect) -> Iterator[list[str]]:
    choosing = next(one for one in effect.parameters if one.name == effect.varies_by)
    for word, meaning in choosing.choices.items():
        yield [f"`{word}`", meaning, effect.duty_for({effect.varies_by: word}).value]


def _errors() -> Iterator[list[str]]:
    for name, row in ERRORS.items():
        statuses = sorted({row.refusal(SPOKEN[surface]).status for surface in row.surfaces})
        said_by = (
            "all" if len(row.surfaces) == len(SURFACES) else ", ".join(SURFACES[one] for one in row.surfaces)
        )
        duty = EFFECTS["error"].duty_for({"error": name}).value
        yield [f"`{name}`", row.trigger, ", ".join(map(str, statuses)), said_by, duty]


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
