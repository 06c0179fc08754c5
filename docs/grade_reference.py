"""Writes `docs/reference/grade.md`: what `phi-emulator grade` says of a client, and what must have happened for it.

python docs/grade_reference.py            write the page
python docs/grade_reference.py --check    exit 1 when the page is not what would be written
"""

import sys
from pathlib import Path
from typing import Final

from pages import table, write_or_check
from phi_emulator.grading.answers import KINDS
from phi_emulator.grading.trials import REDIRECTS
from phi_emulator.grading.verdicts import VERDICTS

PAGE: Final = Path(__file__).parent / "reference" / "grade.md"

HEAD: Final = """\
# The grade

<!-- written by `python docs/grade_reference.py`; change the verdicts, not this page -->

What `phi-emulator grade -- COMMAND` says of a client. [How to begin](../how-to/judge-my-client.md). Each verdict needs a proof: what
the program printed and its exit status, beside what truly went over the wire. Where something can be seen in two ways, nothing is
said. What clients do as they come is [measured](../explanation/faults.md#what-the-grade-finds).
"""

TRIALS: Final = """\
A trial is one line: the answer, and what goes wrong with which request. It shows the same each time.

```text
plain seed=7 pieces=3 | 1 retry_after form=date seconds=30 | 2- cut_body bytes=700 how=end
```

`seed` chooses the words of the answer, which nothing else has, so that each can be found in what a program prints. `pieces` is
how many letters each token has; so tags and letters are cut anywhere. `1` is the first request, `2-` the second and all that follow. The
faults are those of [the reference](faults.md), and one more: `redirect status=307 to=port`.
"""

TIME: Final = """\
A program in Python runs on a clock of the grader's: where all its threads wait and nothing is on its way, time jumps to what is due
next. So an hour of silence takes an instant, and its limits come in the order of real time.

Warped are `time`, `select`, `poll` and `epoll` with all that is built on them (asyncio, trio, httpx, requests, urllib3), timeouts of
sockets, and of `threading`'s conditions, events and queues. Not warped are `datetime.now()`, locks with a timeout, `SimpleQueue`,
and waits in C: uvloop, libcurl, grpc. Other programs, and Pythons started with `-I`, `-E` or `-S`, run in real time: waits are short then, and
`no-read-limit` is judged only where `--patience SECONDS` says when the program must have given up.

A search runs Python programs on Linux as copies of a process that has imported everything. What is reported was seen in processes of
their own.
"""

OUTPUT: Final = """\
The exit status is 0 if nothing was found, 1 if something was, 2 for wrong usage and programs that give no answer with nothing wrong,
and 130 after Ctrl-C, which prints what was found so far. `--json FILE` and `--junit FILE` write the same for programs and CI.

A finding is shrunk, and must then show in three processes one after the other (`--repeats`); what doesn't is named apart, and is no
finding. `--replay LINE --repeats 100` makes a trial a hundred times, and says how often it showed.
"""


def page() -> str:
    """The whole page."""
    verdicts = [[f"`{one.name}`", one.title, one.scenarios, one.proof, one.good] for one in VERDICTS.values()]
    return "\n".join(
        [
            HEAD,
            "## Verdicts\n",
            table(["Name", "What is wrong", "Where it shows", "Said when", "A good client"], verdicts),
            "## Trials\n",
            TRIALS,
            table(["Answer", ""], [[f"`{name}`", text] for name, text in KINDS.items()]),
            table(["Redirect to", ""], [[f"`{name}`", text] for name, text in REDIRECTS.items()]),
            "## Time\n",
            TIME,
            "## Reports\n",
            OUTPUT.rstrip() + "\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
