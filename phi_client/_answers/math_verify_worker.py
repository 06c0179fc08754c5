r"""The process in which math-verify compares answers: one JSON list `[one, other]` a line in, `true` or `false` out.

It must not import this package: it runs as a script, and its start is part of a time limit.

math-verify's own limits need the main thread and SIGALRM, so they are off here. Nothing else stops it at
`9^{9^{9}}`: whoever starts this process kills it.
"""

import functools
import importlib
import json
import signal
import sys
from contextlib import suppress
from typing import Any

MOST_MEMORY_BYTES = 2 * 1024**3
MOST_CPU_S = 120


def limit_resources() -> None:
    """Bound what a runaway comparison takes, also when nobody is left to kill it."""
    with suppress(ImportError, ValueError, OSError):  # Windows has none; a lower limit may stand already
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))


def main() -> None:
    """Compare until the input ends."""
    # Ctrl-C in a terminal reaches the whole group; the parent decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_resources()
    # Heavy, and bounded by the limits above. Its types are partial, and its `None` for no limit is not among them.
    math_verify: Any = importlib.import_module("math_verify")
    verify = functools.partial(math_verify.verify, timeout_seconds=None)

    def read(answer: str) -> object:
        # Bare LaTeX is often not understood; a box always marks it as the answer.
        return math_verify.parse("\\boxed{" + answer + "}", parsing_timeout=None)

    for line in sys.stdin:
        one, other = map(read, json.loads(line))
        # Not symmetric: an interval equals an inequality in one direction only.
        is_same = verify(one, other) or verify(other, one)
        print(json.dumps(bool(is_same)), flush=True)


if __name__ == "__main__":
    main()
