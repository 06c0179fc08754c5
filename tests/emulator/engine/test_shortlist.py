"""Cool requests choose among the likeliest few thousand tokens, where nobody can tell the difference."""

import pytest
from phi_emulator.engine.native.shortlist import SHORTLIST, shortlist


@pytest.mark.parametrize(
    ("vocabulary", "temperature", "among"),
    [
        (200_064, 0.7, SHORTLIST),
        (200_064, 1.0, SHORTLIST),
        (200_064, 1.01, 200_064),
        (1024, 0.7, 1024),
        (1024, 1.5, 1024),
    ],
)
def test_only_large_vocabularies_are_shortened_and_for_cool_requests(
    vocabulary: int, temperature: float, among: int
) -> None:
    assert shortlist(vocabulary, temperature=temperature) == among
