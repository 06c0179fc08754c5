"""Writes `docs/reference/coverage.md`: what the emulator does as Azure does it, what differs, and how it is known.

python docs/contract_coverage.py            write the page
python docs/contract_coverage.py --check    exit 1 when the page is not what would be written
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from contract_facts import HEADERS, REQUEST, RESPONSE, ROUTES, Fact
from pages import SURFACES, table, write_or_check
from phi_emulator.service.deviations import DEVIATIONS

from phi_client.contract.service import SURFACES as SPOKEN
from phi_client.contract.service.catalogue import CATALOGUE

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "coverage.md"
WIRE: Final = ROOT / "tests" / "contract" / "wire"
ORIGINS: Final = ("recorded", "documented", "inferred")

HEAD: Final = """\
# Coverage of Azure's contract

<!-- written by `python docs/contract_coverage.py`; change the facts, not this page -->

What the emulator answers as Azure does (*same*), knowingly otherwise (*differs*) or not at all (*absent*), for each
surface, and how Azure's side is known: *recorded* (live traffic in azure-sdk-assets, or quoted in public issues),
*documented* (documentation, the OpenAPI 2024-05-01-preview, the source of the serving containers), or *inferred* from a
neighbouring surface or model. Nothing here was recorded from Phi-4-mini-reasoning itself: no such traffic is public.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## How much is known\n",
        table(["Origin", *SURFACES.values()], _counts()),
        "Facts of the tables below, errors included.\n",
        "## Routes\n",
        fact_table(ROUTES),
        "## Requests\n",
        fact_table(REQUEST),
        "## Responses\n",
        fact_table(RESPONSE),
        "## Response headers\n",
        fact_table(HEADERS),
        "## Bytes\n",
        "The golden files that both halves are tested with, by origin.\n",
        table(["File", *SURFACES.values()], _bytes()),
        "## Errors\n",
        "Each row is pinned by golden bytes, which name the source. What is absent only the client needs to know.\n",
        table(["Error", "When", "Status", "Emulator", *SURFACES.values()], _errors()),
        "### Sources of the errors\n",
        table(["Error", "Surface", "Source"], _sources()),
        "## Deviations\n",
        table(["Subject", "Azure", "Emulator"], _deviations()),
    ]
    return "\n".join(parts)


def fact_table(facts: Iterable[Fact]) -> str:
    """The table of one kind of facts."""
    rows = [
        [f"`{fact.name}`" if " " not in fact.name or fact.name[0].isupper() else fact.name,
         ", ".join(SURFACES[name] for name in fact.surfaces), fact.state, fact.origin, fact.note]
        for fact in facts
    ]  # fmt: skip
    return table(["What", "Surfaces", "Emulator", "Azure's side is", "Note"], rows)


def head_of(surface: str, name: str) -> dict[str, str]:
    """What a golden file says of itself; nothing when there is no such file."""
    path = WIRE / surface / f"{name}.wire"
    if not path.exists():
        return {}
    head = path.read_text(encoding="utf-8").partition("\n\n")[0]
    return dict(line.split(": ", 1) for line in head.splitlines())


def origin_of(surface: str, name: str) -> str:
    """The origin of a golden file, or nothing."""
    return head_of(surface, name).get("origin", "").partition(" ")[0]


def _deviations() -> Iterator[list[str]]:
    for one in DEVIATIONS:
        yield [f'<a id="{one.id}"></a>{one.subject}', one.azure, one.emulator]


def _errors() -> Iterator[list[str]]:
    for row in CATALOGUE:
        origins = [origin_of(surface, f"error_{row.name}") for surface in SURFACES]
        statuses = {row.refusal(SPOKEN[surface]).status for surface in row.surfaces}
        state = "same" if row.is_sent else "absent"
        yield [f"`{row.name}`", row.trigger, ", ".join(map(str, sorted(statuses))), state, *origins]


def _sources() -> Iterator[list[str]]:
    for row in CATALOGUE:
        for surface in row.surfaces:
            source = head_of(surface, f"error_{row.name}").get("source")
            if source is not None:
                yield [f"`{row.name}`", SURFACES[surface], source]


def _bytes() -> Iterator[list[str]]:
    names = sorted({path.stem for path in WIRE.glob("*/*.wire") if not path.stem.startswith("error_")})
    for name in names:
        yield [f"`{name}`", *(origin_of(surface, name) for surface in SURFACES)]


def _counts() -> Iterator[list[str]]:
    found = Counter(
        (fact.origin, surface)
        for fact in (*ROUTES, *REQUEST, *RESPONSE, *HEADERS)
        for surface in fact.surfaces
    )
    found += Counter(
        (origin_of(surface, f"error_{row.name}"), surface) for row in CATALOGUE for surface in row.surfaces
    )
    for origin in ORIGINS:
        yield [origin, *(str(found[origin, surface]) for surface in SURFACES)]


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
