"""Profiles as lines and tables: what is read is what was written, and what is wrong is named with its place."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.latency.language import KEYS, LatencyError, read_line, read_table, table_of, write_line
from phi_emulator.latency.presets import PRESETS
from phi_emulator.latency.profile import MOST_CHUNK, MOST_JITTER, MOST_S, Profile
from phi_emulator.latency.reading import read_body, read_file, read_setting
from phi_emulator.models.strict_json import parse_json

TIMES = st.floats(0, MOST_S, allow_subnormal=False)
RATIOS = st.floats(0, MOST_JITTER, allow_subnormal=False)
PROFILES = st.builds(
    Profile,
    first_s=TIMES,
    prompt_s=TIMES,
    gap_s=TIMES,
    jitter=RATIOS,
    first_jitter=RATIOS,
    chunk=st.integers(1, MOST_CHUNK),
    seed=st.integers(0, 2**63 - 1),
)


def same(one: Profile, other: Profile) -> bool:
    """To the nine digits that are written."""
    return all(
        math.isclose(getattr(one, key.field), getattr(other, key.field), rel_tol=1e-8, abs_tol=1e-300)
        for key in KEYS
    )


@given(PROFILES)
def test_a_profile_is_read_as_it_is_written(profile: Profile) -> None:
    assert same(read_line(write_line(profile)) or Profile(), profile)
    assert same(read_table(table_of(profile)), profile)
    body = parse_json(json.dumps({"latency": table_of(profile)}))
    assert same(read_body(body) or Profile(), profile)


def test_a_line_says_what_people_write() -> None:
    wanted = Profile(first_s=0.8, gap_s=1 / 40, jitter=0.2, first_jitter=0.2, seed=7)
    for line in (
        "first=800ms, rate=40/s, jitter=0.2, seed=7",
        "seed=7 jitter=.2 gap=25ms first=.8s",
        "first=0.8,rate=40,jitter=0.2,seed=7",
        "first=800000us, rate=4e1/s, jitter=2e-1, seed=7",
    ):
        assert read_line(line) == wanted, line
    assert write_line(wanted) == "first=800ms, rate=40/s, jitter=0.2, seed=7"
    assert read_line("off") is None
    assert write_line(None) == "off"


def test_a_preset_may_be_changed_by_what_follows() -> None:
    preset = PRESETS["phi-4-mini-azure"].profile
    assert read_line("phi-4-mini-azure") == preset
    assert read_line("phi-4-mini-azure, seed=3, chunk=20") == replace(preset, seed=3, chunk=20)
    assert read_table({"seed": 3, "preset": "phi-4-mini-azure"}) == replace(preset, seed=3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "neither a preset nor a time is given"),
        ("jitter=0.2", "neither a preset nor a time is given"),
        ("phi-4-mini-azur", "preset: there is no preset `phi-4-mini-azur`: did you mean `phi-4-mini-azure`?"),
        ("frist=1s", "frist: there is no such key: did you mean `first`?"),
        ("first=1s, first=2s", "first: it comes twice"),
        ("rate=40/s, gap=25ms", "gap: it says the same as `rate`"),
        ("first=1s, 5", "`5` is no `KEY=VALUE`"),
        ("first=", "`first=` is no `KEY=VALUE`"),
        ("first=-1s", "first: `-1s` is no time"),
        ("first=1h", "first: `1h` is no time"),
        ("first=nan", "first: `nan` is no time"),
        ("first=1_000", "first: `1_000` is no time"),
        ("first=3601s", "first: `3601s` is longer than 3600 s"),
        ("gap=1e999", "gap: `1e999` is longer than 3600 s"),
        ("rate=0", "rate: `0` is not within"),
        ("rate=40/min", "rate: `40/min` is no number of tokens a second"),
        ("first=1s, jitter=20%", "jitter: `20%` is no part of the mean"),
        ("first=1s, jitter=11", "jitter: `11` is no part of the mean"),
        ("first=1s, chunk=0", "chunk: `0` is no whole number from 1 to 1000"),
        ("first=1s, seed=1.5", "seed: `1.5` is no whole number"),
        ("first=1s, seed=99999999999999999999", "seed: `99999999999999999999` is no whole number"),
        ("first=1s, off", "`off` is no `KEY=VALUE`"),
    ],
)
def test_what_is_wrong_in_a_line_is_named(line: str, words: str) -> None:
    with pytest.raises(LatencyError) as raised:
        read_line(line)
    assert str(raised.value).startswith(words)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*(key.name for key in KEYS), "preset", "source"]) | st.text(max_size=6)


@given(st.dictionaries(NAMES, JSON, max_size=4) | JSON)
def test_anything_in_the_place_of_a_profile_is_one_or_an_error(found: object) -> None:
    try:
        profile = read_body({"latency": found})
    except LatencyError:
        return
    assert same(read_line(write_line(profile)) or Profile(), profile or Profile())


@given(st.text(st.sampled_from("first=8.0ms, rate/jitepkoµE-+\x00é"), max_size=30) | st.text(max_size=20))
def test_any_line_is_a_profile_or_an_error(line: str) -> None:
    try:
        profile = read_setting(line)
    except LatencyError:
        return
    assert same(read_line(write_line(profile)) or Profile(), profile or Profile())


def test_a_huge_number_is_an_error() -> None:
    with pytest.raises(LatencyError, match="seed: such a number is no whole number"):
        read_body({"latency": {"first": 1, "seed": 10**5000}})
    with pytest.raises(LatencyError, match="first: "):
        read_body({"latency": {"first": 10**5000}})


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.toml", '[latency]\nfirst = "1s"\nrate = "4O/s"\n', ":3: latency.rate: `4O/s` is no number"),
        ("a.toml", '[latency]\nfirst = "1s"\n\n[faults]\n', ":4: faults: there is nothing of that name"),
        ("a.toml", '[latency]\nfirst = "1s\n', ":2: "),
        ("a.toml", "# nothing\n", ": a profile is expected under `latency`"),
        ("a.toml", "latency = 5\n", ":1: latency: a table or a line is expected"),
        ("a.toml", 'latency = "rat=3"\n', ":1: latency.rat: there is no such key: did you mean `rate`?"),
        (
            "a.json",
            '{"latency":\n {"first": "1s",\n  "chunk": 0}}',
            ":3: latency.chunk: `0` is no whole number",
        ),
        ("a.json", '{"latency"', ":1: "),
        ("b.toml", "", ": No such file"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(LatencyError) as raised:
        read_setting(str(tmp_path / name))
    assert str(raised.value).startswith(str(tmp_path / name) + place)


def test_a_file_holds_a_table_or_a_line(tmp_path: Path) -> None:
    file = tmp_path / "profile.toml"
    file.write_text('[latency]\nfirst = 0.8\nrate = 40\nsource = "a day in May"\n', encoding="utf-8")
    assert read_file(file) == Profile(first_s=0.8, gap_s=1 / 40, source="a day in May")
    file.write_text('latency = "phi-4-mini-azure, seed=1"\n', encoding="utf-8")
    assert read_file(file) == read_line("phi-4-mini-azure, seed=1")
    file.write_text('latency = "off"\n', encoding="utf-8")
    assert read_file(file) is None


def test_every_preset_has_its_source_and_can_be_written() -> None:
    for name, preset in PRESETS.items():
        assert preset.profile.name == name
        assert preset.source.startswith(("https://", "docs/"))
        assert preset.said
        assert preset.assumed
        assert same(read_line(write_line(preset.profile)) or Profile(), preset.profile)
