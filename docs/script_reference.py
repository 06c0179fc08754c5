"""Writes `docs/reference/scripts.md`: what a script of the emulator may hold, and the canned traces.

python docs/script_reference.py            write the page
python docs/script_reference.py --check    exit 1 when the page is not what would be written
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pages import table, write_or_check
from phi_emulator.engine.protocol import EndReason
from phi_emulator.scripts.matching import CONDITIONS
from phi_emulator.scripts.replies import REPLIES
from phi_emulator.scripts.rules import FILE_KEYS, RULE_KEYS
from phi_emulator.scripts.traces import TRACES, Trace

PAGE: Final = Path(__file__).parent / "reference" / "scripts.md"

HEAD: Final = """\
# Scripts

<!-- written by `python docs/script_reference.py`; change what it reads, not this page -->

What the emulator answers in the place of a model, written down as rules. [How to begin](../how-to/scripted-answers.md). The same
keys hold in a TOML file, in a JSON file whose name ends in `.json`, for `Emulator.script`, and in the body of
`POST /_emulator/script`.
"""

RULES: Final = """\
A rule is about a request if all that it asks holds, and it answers if it has an answer left. The first such rule of these answers:
those of the request's scope (`x-phi-scope`), then those that were added while the emulator runs, then those of the file. All rules
that are about a request count it. A request that is refused before it runs, by a limit, the filter or a fault, takes no answer.

The last message is that of the user, or what a tool answered. Regular expressions are those of the package
`regex`, which reads what Python's `re` does; one that takes longer than a fifth of a second is refused. JSON Schemas fetch nothing. A file has 4 MiB and 1,000 rules at most.
"""

MISS: Final = """\
A request that no rule is about fails with 400, or the model answers it: `miss` says which. Without it, it fails where no model is
loaded, and the model answers where there is one. The error, the log, `Emulator.script.unmatched()` and
`GET /_emulator/script` say which rules came near and what kept each from it. They quote the script, and never the request.
"""

TOLD: Final = """\
Answers of reasoning models that went wrong, all to one question: `trace = "two-boxes"` in a rule answers with one, and
`--model scripted:traces` serves them all: a message that has a trace's name in it gets that, and any other gets them in turn.
*Read* is what a person takes for thoughts and answer, and what `phi_client` reads.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            "## A file\n",
            table(["Key", "Holds"], _rows(FILE_KEYS)),
            "## Rules\n",
            RULES,
            table(["Asks", "Holds if"], _rows(CONDITIONS)),
            table(["Answers with", "Meaning"], _rows(REPLIES)),
            table(["Also", "Meaning"], _rows(RULE_KEYS)),
            "## A miss\n",
            MISS,
            "## Traces\n",
            TOLD,
            table(["Trace", "What goes wrong", "Ends with", "Read"], map(_trace, TRACES.values())),
        ]
    )


def _rows(keys: Mapping[str, str]) -> Iterable[list[str]]:
    return [[f"`{key}`", meaning] for key, meaning in keys.items()]


def _trace(trace: Trace) -> list[str]:
    end = "`length`" if trace.recital.end is EndReason.LENGTH else "`stop`"
    if trace.answer is not None:
        read = f"thoughts, and `{trace.answer}`"
    else:
        read = "thoughts, and a text without an answer" if trace.content else "thoughts alone"
    return [f"`{trace.name}`", trace.what, end, read]


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
