"""Sampled requests choose among the likeliest few thousand tokens where nobody can tell the difference."""

import pytest
from phi_emulator.engine.shortlist import ALL, SHORTLIST, shortlist


@pytest.mark.parametrize(
    ("vocabulary", "temperature", "top_p", "among"),
    [
        (200_064, 0.7, 1.0, SHORTLIST),
        (200_064, 1.0, 1.0, SHORTLIST),
        (49_152, 0.2, 1.0, SHORTLIST),
        (200_064, 1.01, 1.0, ALL),
        (200_064, 0.7, 0.95, ALL),
        (1024, 0.7, 1.0, ALL),
    ],
)
def test_only_large_vocabularies_cool_requests_and_no_top_p_are_shortened(
    vocabulary: int, temperature: float, top_p: float, among: int
) -> None:
    assert shortlist(vocabulary, temperature=temperature, top_p=top_p) == among
