"""Tests that recordings answer: replayed, recorded, recorded anew; and which file is whose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phi_emulator import Emulator, EmulatorConfig
from pytest_phi.settings import recording_options

from tests.plugin.conftest import RunTests

TWO = """
import pytest
from phi_client import PhiClient

@pytest.mark.phi_recording("sums/first")
def test_first():
    with PhiClient() as client:
        assert client.complete("What is 12 + 30?", temperature=0).answer == "42"

@pytest.mark.phi_recording
@pytest.mark.parametrize("number", [4])
def test_second(phi_emulator, number):
    with phi_emulator.client() as client, client.stream(f"What is 3 + {number}?", temperature=0) as stream:
        assert stream.until_done().answer == "7"
"""
FILES = ["sums/first.jsonl", "test_it/test_second[4].jsonl"]


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, run_tests: RunTests) -> Iterator[Emulator]:
    """What stands for Azure while it is recorded; `run_tests` clears the environment first."""
    with Emulator(EmulatorConfig(port=0, key="the-key-of-the-real-one-0000")) as emulator:
        monkeypatch.setenv("PHI_ENDPOINT", emulator.endpoint)
        monkeypatch.setenv("PHI_API_KEY", emulator.key)
        yield emulator


def recorded(folder: Path) -> dict[str, bytes]:
    root = folder / "recordings"
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_missing_recording_fails_with_how_to_make_it(run_tests: RunTests) -> None:
    result = run_tests(TWO)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*no recording *first.jsonl: make it with `pytest --phi-record=once`*"])


def test_what_was_recorded_once_is_replayed_without_an_endpoint(
    run_tests: RunTests, real: Emulator, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tests(TWO, "--phi-record=once").assert_outcomes(passed=2)
    files = recorded(pytester.path)
    assert sorted(files) == FILES
    assert not [content for content in files.values() if real.key.encode() in content]
    real.stop()
    run_tests(TWO, "--phi-record=once").assert_outcomes(passed=2)
    monkeypatch.delenv("PHI_ENDPOINT")
    run_tests(TWO).assert_outcomes(passed=2)
    assert recorded(pytester.path) == files


def test_a_request_that_was_not_recorded_fails_the_test_even_if_it_swallows_the_error(
    run_tests: RunTests, real: Emulator
) -> None:
    run_tests(TWO, "--phi-record=once").assert_outcomes(passed=2)
    source = """
        import pytest
        from phi_client import BadRequestError, PhiClient

        @pytest.mark.phi_recording("sums/first")
        def test_it():
            with pytest.raises(BadRequestError), PhiClient() as client:
                client.complete("What is 12 + 31?", temperature=0)
        """
    result = run_tests(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*no recording answers this request: the nearest is exchange 1 of first.jsonl*"]
    )


def test_new_requests_are_added_and_all_are_recorded_anew(
    run_tests: RunTests, real: Emulator, pytester: pytest.Pytester
) -> None:
    run_tests(TWO, "--phi-record=once").assert_outcomes(passed=2)
    before = recorded(pytester.path)
    more = TWO.replace(
        '== "42"\n',
        '== "42"\n        assert client.complete("What is 2 + 3?", temperature=0).answer == "5"\n',
    )
    run_tests(more, "--phi-record=once").assert_outcomes(passed=1, failed=1)
    run_tests(more, "--phi-record=new").assert_outcomes(passed=2)
    added = recorded(pytester.path)
    assert added[FILES[0]].startswith(before[FILES[0]])
    assert added[FILES[0]].count(b'"end"') == 2
    assert added[FILES[1]] == before[FILES[1]]
    run_tests(TWO, "--phi-record=all").assert_outcomes(passed=2)
    anew = recorded(pytester.path)
    assert sorted(anew) == FILES
    assert anew[FILES[0]].count(b'"end"') == 1


def test_an_endpoint_that_does_not_answer_leaves_what_was_recorded_as_it_was(
    run_tests: RunTests, real: Emulator, pytester: pytest.Pytester
) -> None:
    run_tests(TWO, "--phi-record=once", "-k", "first").assert_outcomes(passed=1, deselected=1)
    before = recorded(pytester.path)
    real.stop()
    run_tests(
        TWO.replace("PhiClient()", "PhiClient(max_retries=0)"), "--phi-record=all", "-k", "first"
    ).assert_outcomes(failed=1, deselected=1)
    assert recorded(pytester.path) == before


def test_in_ci_nothing_is_recorded_but_by_the_option(
    run_tests: RunTests, real: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    run_tests(TWO, "-o", "phi_record=once").assert_outcomes(errors=2)
    run_tests(TWO, "-o", "phi_record=once", "--phi-record=once").assert_outcomes(passed=2)


def test_without_an_endpoint_to_record_that_is_said(run_tests: RunTests) -> None:
    result = run_tests(TWO, "--phi-record=all")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*the real endpoint is wanted in PHI_ENDPOINT*"])


def test_a_surface_with_several_models_is_asked_as_it_was(
    run_tests: RunTests, real: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import pytest
        from phi_client import PhiClient

        @pytest.mark.phi_recording
        def test_it():
            with PhiClient() as client:
                assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
        """
    monkeypatch.setenv("PHI_ENDPOINT", real.endpoint_of("foundry_models"))
    monkeypatch.setenv("PHI_MODEL", "my-phi")
    run_tests(source, "--phi-record=once").assert_outcomes(passed=1)
    monkeypatch.delenv("PHI_MODEL")
    run_tests(source).assert_outcomes(passed=1)


def test_faults_and_recordings_are_not_for_one_test(run_tests: RunTests, real: Emulator) -> None:
    result = run_tests(
        "import pytest\n@pytest.mark.phi_recording\ndef test_it(phi_faults): pass", "--phi-record=once"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a recording answers, and no emulator*"])


def options(*arguments: object, test: str = "test_it.py::test_one", **more: Any) -> Path:
    mark = pytest.mark.phi_recording(*arguments, **more).mark
    return recording_options(mark, Path("tests/test_it.py"), test, "none").file.relative_to(
        "tests/recordings"
    )


def test_different_tests_have_different_files() -> None:
    names = (
        "f[a b]",
        "f[a/b]",
        "f[a?b]",
        "f[ä]",
        "f[../x]",
        "f[" + "x" * 300 + "]",
        "f[" + "x" * 300 + "y]",
        "A::f",
        "A.f",
    )
    files = [options(test=f"test_it.py::{name}") for name in names]
    # `A::f` and `A.f` would be one, but no function has a dot in its name.
    assert len({file.name for file in files}) == len(names) - 1
    assert {file.parent for file in files} == {Path("test_it")}
    assert max(len(file.name) for file in files) < 130


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "c:x", "", 3, "..\\x"])
def test_a_name_that_leads_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="name"):
        options(name)


@pytest.mark.parametrize(
    "more", [{"speed": -1}, {"speed": "fast"}, {"speed": float("nan")}, {"after_last": "never"}, {"sped": 1}]
)
def test_a_mark_that_says_what_can_not_be_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(more))):
        options("x", **more)


def test_a_name_may_have_the_ending() -> None:
    assert options("x.jsonl") == options("x") == options(name="x")
