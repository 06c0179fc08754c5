"""Words that are no commands: every one is answered with a command that there is, or with what to do instead."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.command_line import words
from phi_emulator.command_line.commands import phi_emulator


def said(*arguments: str) -> str:
    result = CliRunner().invoke(phi_emulator, arguments)
    assert result.exit_code == 2
    return result.output.splitlines()[-1]


def is_a_command(line: str) -> bool:
    """Whether a line that was advised names a command of ours."""
    group: click.Command = phi_emulator
    for word in shlex.split(line):
        if not isinstance(group, click.Group) or word.startswith("-"):
            return True
        if word not in group.commands:
            return False
        group = group.commands[word]
    return True


@pytest.mark.parametrize(
    ("written", "advised"),
    [
        (["run", "phi-4-mini-reasoning"], "chat --model phi-4-mini-reasoning"),
        (
            ["run", "phi-4-mini-reasoning", "What is 6 * 7?"],
            "chat --model phi-4-mini-reasoning 'What is 6 * 7?'",
        ),
        (["run"], "chat --model NAME"),
        (["ask", "What is 6 * 7?"], "chat 'What is 6 * 7?'"),
        (["talk"], "chat"),
        (["caht"], "chat"),
        (["pull", "phi-4-mini-reasoning"], "models pull phi-4-mini-reasoning"),
        (["pull"], "models pull NAME"),
        (["list"], "models list"),
        (["LS"], "models list"),
        (["start"], "serve"),
        (["rm", "a b"], "models rm 'a b'"),
        (["sevre"], "serve"),
        (["docter"], "doctor"),
        (["exex"], "exec"),
        (["models", "lst"], "models list"),
        (["models", "remove", "x"], "models rm x"),
        (["models", "serve"], "serve"),
        (["model", "pull"], "models list"),
    ],
    ids=" ".join,
)
def test_another_programs_word_is_answered_with_the_command(written: list[str], advised: str) -> None:
    assert said(*written).endswith(f": run `phi-emulator {advised}`")


@pytest.mark.parametrize("word", sorted([*words._ELSEWHERE, *words._EXPLAINED]))
def test_every_known_word_leads_somewhere(word: str) -> None:
    if word in phi_emulator.commands:
        return
    line = said(word)
    for advised in re.findall(r"`phi-emulator ([^`]*)`", line):
        assert is_a_command(advised), advised


def test_a_word_that_is_like_none_is_answered_with_the_help() -> None:
    assert said("xyzzy").endswith("`phi-emulator --help` lists them")


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_whatever_is_written_can_be_shown(word: str, rest: str) -> None:
    result = CliRunner().invoke(phi_emulator, ["--", word, rest])
    assert all(line.isprintable() for line in result.output.split("\n"))
    assert result.exit_code in (0, 2)


def test_a_model_after_serve_is_asked_for_with_its_option() -> None:
    assert said("serve", "phi-4-mini-reasoning").endswith("write `--model phi-4-mini-reasoning`")


def test_a_slip_in_an_option_of_exec_is_no_command() -> None:
    assert "No such option '--modle'" in said("exec", "--modle", "x", "--", "python")


@pytest.mark.parametrize("name", ["deterministic", "loose", "extensions", "help-text"])
@pytest.mark.parametrize("command", ["serve", "exec"])
def test_switches_take_the_same_forms_everywhere(command: str, name: str) -> None:
    (option,) = [one for one in phi_emulator.commands[command].params if f"--{name}" in one.opts]
    context = click.Context(phi_emulator.commands[command])
    for given_words, expected in (([], None), ([f"--{name}"], True), ([f"--{name}", "no"], False)):
        parser = phi_emulator.commands[command].make_parser(context)
        values, _, _ = parser.parse_args([*given_words, "--", "x"])
        value, _ = option.consume_value(context, values)
        assert option.type_cast_value(context, value) is expected
    assert "`maybe` is not yes or no" in said(command, f"--{name}", "maybe", "x")


def test_bench_takes_them_too() -> None:
    (option,) = [one for one in phi_emulator.commands["bench"].params if "--deterministic" in one.opts]
    assert option.metavar == "[YES|NO]"


def test_the_help_is_in_groups_and_exec_tells_its_own_defaults() -> None:
    helps = {
        name: CliRunner().invoke(phi_emulator, [name, "--help"], terminal_width=200).output
        for name in ("serve", "exec")
    }
    for text in helps.values():
        titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
        assert titles[:3] == ["The model:", "Address and keys:", "What the surfaces do:"]
        assert titles[-1] == "Others:"
    assert "[default a free one, whatever PHI_EMULATOR_PORT says]" in helps["exec"]
    assert "[default warning, whatever PHI_EMULATOR_LOG_LEVEL says]" in helps["exec"]
    assert "[env PHI_EMULATOR_PORT; default 16180]" in helps["serve"]
