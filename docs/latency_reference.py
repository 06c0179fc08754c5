"""Writes `docs/reference/latency.md`: how a profile of latency is written, and the presets with their sources.

python docs/latency_reference.py            write the page
python docs/latency_reference.py --check    exit 1 when the page is not what would be written
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pages import table, write_or_check
from phi_emulator.latency.language import KEYS, write_line
from phi_emulator.latency.presets import PRESETS, Preset

PAGE: Final = Path(__file__).parent / "reference" / "latency.md"

HEAD: Final = """\
# Profiles of latency

<!-- written by `python docs/latency_reference.py`; change the presets, not this page -->

How fast the emulator's answers come, [by option, file, route, header and call](../how-to/imitate-latency.md). A *token* is one of
the model's: some complete no text, and have their time all the same.

## What a profile says

As a line: `first=800ms, rate=40/s, jitter=0.2, seed=7`; as a table, in TOML or JSON, under `latency`:

```toml
[latency]
first = "800ms"
rate = "40/s"
jitter = 0.2
seed = 7
```

A time has `s`, `ms` or `us`, and is in seconds without. `off` in the place of a profile is none. A line may begin with the name of a
preset, and a table may have it as `preset`; what else is said takes the place of what the preset says. `source` says where a profile
is from, in words.
"""

RULES: Final = """\
Times count from the request: the n-th token is due `first`, the prompt's part and n - 1 gaps after it, and a token that is late
makes none after it later. Jitter is drawn from `seed` and the number of the answer in its scope, from 1 since the profile was set:
the same seed and order of requests give the same times. Each draw is log-normal around a mean of 1; with a `chunk` of n there is one
for n tokens.

## Presets

`phi-emulator latency` prints them too. A preset is no promise of its service: it is what one page said on one day. No latency of
Phi-4-mini-reasoning on Azure has been published; [read yours off a recording](../how-to/imitate-latency.md#read-it-off-a-recording).
"""


def page() -> str:
    """The whole page."""
    keys = [[f"`{key.name}`", key.meaning, key.default] for key in KEYS]
    parts = [
        HEAD,
        table(["Key", "Meaning", "Without it"], keys),
        RULES,
        table(["Preset", "Imitates", "Profile"], _rows()),
    ]
    for preset in PRESETS.values():
        parts += [f"### `{preset.name}`\n", _sources(preset)]
    return "\n".join(parts)


def _rows() -> Iterator[list[str]]:
    for preset in PRESETS.values():
        yield [f"[`{preset.name}`](#{preset.name})", preset.imitates, f"`{write_line(preset.profile)}`"]


def _sources(preset: Preset) -> str:
    place = preset.source.removeprefix("docs/")
    link = f"<{place}>" if place.startswith("https://") else f"[{place}](../{place})"
    return f"From {link}, read {preset.read}: {preset.said}. Assumed: {preset.assumed}.\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
