"""`phi-emulator.toml`: which source wins, where paths lead, what is said of what can't be, and with which line."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.config import SETTINGS, ConfigError, EmulatorConfig, read_sources
from phi_emulator.scripts.rules import Script
from phi_emulator.settings.schema import schema_of
from phi_emulator.settings.sources import FILE_NAME, find_file

SCHEMA = jsonschema_rs.Draft7Validator(schema_of(SETTINGS, FILE_NAME))
SECRET = "planted-key-0123456789abcdef"
WHOLE = """\
host = "127.0.0.1"
port = 0
key = "mine-and-nobody-elses"
model = "scripted:nothing"
home = "models"
deployments = ["a", "b"]
queue_seconds = 2
requests_per_minute = 60
loose = true
latency = "first=1ms, rate=1000/s"

[surface_keys]
serverless = "one-key"
openai_v1 = ["two", "three"]

[content_filter.violence]
sword = "high"

[[faults]]
effect = "stall"
tokens = 2
when.surface = "serverless"

[[faults]]
effect = "error"
error = "engine_failed"

[script]
miss = "fail"

[[script.rule]]
contains = "17 * 24"
answer = "408"

[[script.rule]]
answers = ["one", { answer = "two", fault = "stall tokens=1" }]
"""


def write(folder: Path, text: str, name: str = FILE_NAME) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def run(*words: str, environ: dict[str, str] | None = None, code: int = 0) -> str:
    plain: dict[str, str | None] = dict.fromkeys(one.variable for one in SETTINGS.values())
    plain |= {"PHI_EMULATOR_CONFIG": None}
    result = CliRunner().invoke(phi_emulator, words, env=plain | (environ or {}), terminal_width=400)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_a_file_may_have_all_of_it(tmp_path: Path) -> None:
    config = EmulatorConfig.from_file(write(tmp_path, WHOLE))
    assert (config.port, config.deployments, config.queue_seconds, config.loose) == (0, ("a", "b"), 2.0, True)
    assert config.surface_keys == {"serverless": ("one-key",), "openai_v1": ("two", "three")}
    assert [rule.word for rule in config.rules] == ["sword"]
    assert [rule.fault.effect.name for rule in config.fault_rules] == ["stall", "error"]
    assert config.latency_profile is not None
    assert isinstance(config.script, Script)
    assert [rule.place for rule in config.script.rules] == [f"{FILE_NAME}:{line}" for line in (31, 35)]
    assert config.script.miss == "fail"
    SCHEMA.validate(tomllib.loads(WHOLE))


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "port = 1\nqueue_size = 1\ncontext = 1\n")
    environ = {"PHI_EMULATOR_PORT": "2", "PHI_EMULATOR_QUEUE_SIZE": "2", "PHI_EMULATOR_CONTEXT": ""}
    sources = read_sources(environ, path, {"port": 3, "model": None})
    config = EmulatorConfig.from_sources(sources)
    assert (config.port, config.queue_size, config.context, config.cache_mb) == (3, 2, 1, 4096)
    places = {name: origin.place for name, origin in sources.origins.items()}
    assert places == {"port": "--port", "queue_size": "PHI_EMULATOR_QUEUE_SIZE", "context": f"{path}:3"}


def test_paths_are_relative_to_the_file_and_names_stay_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, '[[faults]]\neffect = "stall"\n', "inner/faults.toml")
    write(tmp_path, '[latency]\nfirst = "1ms"\n', "inner/latency.toml")
    write(tmp_path, '{"hate": {"word": "low"}}', "filter.json")
    text = (
        'faults = "faults.toml"\nlatency = "latency.toml"\ncontent_filter = "../filter.json"\nhome = "~/x"\n'
        'model = "{}"\n'
    )
    monkeypatch.chdir(tmp_path)
    inner = tmp_path / "inner"
    for model, meant in {
        "scripted:a.toml": f"scripted:{inner}/a.toml",
        "scripted:traces": "scripted:traces",
        "./folder": f"{inner}/folder",
        "/folder": "/folder",
        "phi-4-mini-reasoning:gpu-int4": "phi-4-mini-reasoning:gpu-int4",
    }.items():
        path = write(tmp_path, text.format(model), "inner/some.toml")
        config = EmulatorConfig.from_file(path.relative_to(tmp_path))
        assert config.model == meant
        assert (len(config.fault_rules), len(config.rules)) == (1, 1)
        assert config.latency_profile is not None
        assert config.home == str(Path.home() / "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nprot = 1\n", "2: prot: there is no such setting: did you mean `port`?"),
        ("port = 70000\n", "1: port: `70000` can't be used: give 0 to 65535"),
        ('port = "5"\n', "1: port: `5` is no number"),
        ("port = 1.5\n", "1: port: `1.5` is no whole number: give 0 to 65535"),
        ("port = true\n", "1: port: `True` is no number"),
        ("port = 0x" + "f" * 5000, "1: port: such a number is no number"),
        ("queue_seconds = inf\n", "1: queue_seconds: `inf` is no number"),
        ("queue_seconds = 0\n", "1: queue_seconds: `0` can't be used: give a number above 0"),
        ("drain_seconds = 1e300\n", "1: drain_seconds: `1e+300` can't be used"),
        ('a = 1\n\nloose = "yes"\n', "1: a: there is no such setting"),
        ('\nloose = "yes"\n', "2: loose: `yes` is not true or false"),
        ('dialect = "openai"\n', "1: dialect: `openai` can't be used: did you mean `openai_v1`?"),
        ("deployments = [\n'a',\n1]\n", "1: deployments[1]: `1` is not a text"),
        ("cache_bits = 16\n", "1: cache_bits: `16` can't be used: give 8 or 32"),
        ("port = 1\nport = 2\n", "2: Cannot overwrite a value"),
        ("port = \n", "1: Invalid value"),
        (
            "[surface_keys]\nserverles = 'x'\n",
            "2: surface_keys.serverles: there is no such surface: did you mean `serverless`?",
        ),
        (
            "[[faults]]\neffect = 'stall'\n\n[[faults]]\neffect = 'stal'\n",
            "5: faults[1].effect: `stal` is no effect: did you mean `stall`?",
        ),
        (
            "[[faults]]\neffect = 'stall'\nwhen.surfac = 'x'\n",
            "3: faults[0].when.surfac: there is no such condition",
        ),
        (
            "[[script.rule]]\nanswer = 'a'\n\n[[script.rule]]\nanswr = 'b'\n",
            "5: script.rule[1].answr: there is nothing of that name: did you mean `answer`?",
        ),
        ("[script]\n\nmis = 'fail'\n[[script.rule]]\nanswer = 'a'\n", "3: script.mis: there is nothing"),
        ("[script]\nmiss = 'fail'\n", "1: script: a list of rules is expected under `rule`"),
        (
            "[[script.rule]]\nexact = 'a'\nfault = 'stal'\n",
            "3: script.rule[0].fault.effect: `stal` is no effect",
        ),
        ("[latency]\nfirst = '1ms'\nrat = '1/s'\n", "3: latency.rat: there is no such key"),
        ("[content_filter.hate]\nx = 'huge'\n", "2: content_filter.hate.x: `huge` is no severity"),
        ("faults = 'nowhere.toml'\n", "1: faults: "),
        ("host = '0.0.0.0'\n", "1: host: '0.0.0.0' can be reached from other machines"),
        ("port = 1979-05-27\n", "1: port: `1979-05-27` is no number"),
        ("script = 'a.toml'\nmodel = 'scripted:b.toml'\n", "1: script: the model is a script already"),
    ],
    ids=lambda text: str(text)[:30],
)
def test_what_can_not_be_is_said_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        EmulatorConfig.from_file(path)
    assert str(caught.value).startswith(f"{path}:{said}")


def test_what_a_file_within_has_wrong_is_said_with_both_places(tmp_path: Path) -> None:
    inner = write(tmp_path, "[[faults]]\n\neffect = 'stal'\n", "faults.toml")
    path = write(tmp_path, "port = 0\nfaults = 'faults.toml'\n")
    with pytest.raises(ConfigError) as caught:
        EmulatorConfig.from_file(path)
    assert str(caught.value).startswith(f"{path}:2: faults: {inner}:3: faults[0].effect: `stal` is no effect")


def test_an_option_and_a_variable_are_named_where_their_value_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^PHI_EMULATOR_FAULTS: .*nowhere\.toml: No such file"):
        EmulatorConfig.from_environment({"PHI_EMULATOR_FAULTS": str(tmp_path / "nowhere.toml")})
    assert "Invalid value for '--port': `x` is not a number" in run("config", "show", "--port", "x", code=2)
    assert "--faults: nowhere.toml: No such file" in run("config", "show", "--faults", "nowhere.toml", code=2)


@pytest.mark.parametrize(
    "text",
    [
        f'key = "{SECRET} "',
        f'key = ["{SECRET}"]',
        f"[surface_keys]\nserverless = '{SECRET} '",
        f'surface_keys = "{SECRET}"',
        f'key = "{SECRET}',
    ],
)
def test_a_key_that_is_none_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EmulatorConfig.from_file(write(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_the_file_of_the_folder_is_read_and_another_one_if_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file(None, {}) is None
    write(tmp_path, "port = 1\n")
    other = write(tmp_path, "port = 2\n", "other.toml")
    assert [
        find_file(named, environ)
        for named, environ in (
            (None, {}),
            ("a", {"PHI_EMULATOR_CONFIG": "b"}),
            (None, {"PHI_EMULATOR_CONFIG": "b"}),
        )
    ] == [Path(FILE_NAME), Path("a"), Path("b")]
    for words, environ, shown in (
        ((), {}, "1 "),
        (("--config", str(other)), {}, "2 "),
        ((), {"PHI_EMULATOR_CONFIG": str(other)}, "2 "),
        (("--port", "3"), {}, "3 "),
    ):
        rows = run("config", "show", *words, environ=environ).splitlines()
        assert next(row for row in rows if row.startswith("port ")).split(maxsplit=1)[1].startswith(shown)
    assert "nowhere.toml: No such file" in run("config", "show", "--config", "nowhere.toml", code=2)
    (tmp_path / "folder").mkdir()
    assert "folder: it is no plain file" in run("config", "show", "--config", "folder", code=2)


def test_the_settings_are_shown_with_their_sources_and_without_keys(tmp_path: Path) -> None:
    path = write(tmp_path, f'key = "{SECRET}"\nqueue_size = 7\n[surface_keys]\nserverless = "{SECRET}"\n')
    environ = {"PHI_EMULATOR_LOOSE": "yes"}
    text = run("config", "show", "--config", str(path), "--port", "0", environ=environ)
    assert SECRET not in text
    rows = {row.split()[0]: " ".join(row.split()[1:]) for row in text.splitlines()}
    assert rows.keys() == SETTINGS.keys()
    assert rows["port"] == "0 --port"
    assert rows["loose"] == "yes PHI_EMULATOR_LOOSE"
    assert rows["queue_size"] == f"7 {path}:2"
    assert rows["key"] == f"(not shown) {path}:1"
    assert rows["surface_keys"] == f"(not shown) {path}:3"
    assert rows["log_level"] == "info default"
    shown = json.loads(run("config", "show", "--json", "--config", str(path)))
    assert SECRET not in json.dumps(shown)
    assert shown["queue_size"] == {"value": "7", "from": f"{path}:2"}


def test_a_variable_that_is_nobodys_is_told_with_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "PHI_EMULATOR_PROT": SECRET,
        "PHI_EMULATOR_ZZZZZZ": "1",
        "PHI_EMULATOR_PORT_16180_TCP": "of Kubernetes",
        "PHI_EMULATOR_SERVICE_HOST": "of Kubernetes",
        "PHI_EMULATOR_EMPTY": "",
        "PHI_LOG": "info",
    }
    text = run("config", "show", environ=environ)
    told = [line for line in text.splitlines() if line.startswith("phi-emulator: ")]
    assert told == [
        "phi-emulator: PHI_EMULATOR_PROT is no setting, and changes nothing: did you mean `PHI_EMULATOR_PORT`?",
        "phi-emulator: PHI_EMULATOR_ZZZZZZ is no setting, and changes nothing",
    ]


def test_the_schema_is_printed(tmp_path: Path) -> None:
    printed = json.loads(run("config", "schema"))
    assert printed == schema_of(SETTINGS, FILE_NAME)
    assert printed["properties"].keys() == SETTINGS.keys()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.text("abcdeport key=[]{}\"'\n.#019-_\\tu", max_size=80).map(str.encode))
def test_any_bytes_are_settings_or_an_error_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    error = None
    try:
        EmulatorConfig.from_file(path)
    except ConfigError as found:
        error = str(found)
    assert error is None or re.match(rf"{re.escape(str(path))}:\d+: ", error)


NAMES = st.sampled_from([*SETTINGS]) | st.text(max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 100)
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["off", "default", "cpu", "content", "info", "serverless", "a b", "", "first=1ms", "stall", "newer"]
    )
    | st.text(max_size=4)
)
EFFECTS = st.fixed_dictionaries(
    {},
    optional={
        "effect": st.sampled_from(["stall", "error", "split", "x"]),
        "tokens": SCALARS,
        "error": st.sampled_from(["engine_failed", "x"]),
        "times": SCALARS,
        "when": st.dictionaries(
            st.sampled_from(["surface", "call", "every", "seed", "probability", "headers"]),
            SCALARS,
            max_size=2,
        ),
    },
)
SPOKEN = st.sampled_from(["a", "\0", "\ud800"]) | SCALARS
REPLIES: dict[str, st.SearchStrategy[Any]] = {
    "answer": SPOKEN,
    "reasoning": SPOKEN,
    "trace": st.sampled_from(["two-boxes", "x"]),
    "model": st.booleans(),
    "chunks": st.sampled_from(["token", ["a", "b"], [""], []]) | SCALARS,
    "finish_reason": st.sampled_from(["length", "x"]),
    "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "x"]), SCALARS, max_size=2) | SCALARS,
    "fault": EFFECTS | SCALARS,
}
SCRIPTS = st.fixed_dictionaries(
    {
        "rule": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    **REPLIES,
                    "exact": SCALARS,
                    "regex": st.sampled_from(["a+", "(", 3]),
                    "schema": st.sampled_from([True, {"type": "object"}, {"type": "x"}, 3]),
                    "turn": st.sampled_from([1, 0, "2-3", "2-", "x", "3-2", 2.0]),
                    "when": st.dictionaries(st.sampled_from(["surface", "call", "x"]), SCALARS, max_size=2),
                    "times": SCALARS,
                    "answers": st.lists(SPOKEN | st.fixed_dictionaries({}, optional=REPLIES), max_size=2),
                    "repeat": st.booleans() | SCALARS,
                    "x": SCALARS,
                },
            ),
            max_size=2,
        )
    },
    optional={"miss": st.sampled_from(["fail", "model", "x", 1]), "x": SCALARS},
)
VALUES = SCALARS | st.lists(SCALARS | EFFECTS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2)


@settings(max_examples=700, deadline=None)
@given(st.tuples(NAMES, VALUES) | st.tuples(st.just("script"), SCRIPTS))
def test_the_schema_takes_what_the_reader_takes(pair: tuple[str, Any]) -> None:
    """Where a value passes the one and not the other, it is for a reason that no schema says."""
    name, value = pair
    if value is None:
        return  # TOML has no such value
    kind = SETTINGS[name].kind if name in SETTINGS else None
    reason = "no such setting"
    if kind is not None:
        try:
            kind.read(value)
        except ValueError as error:
            reason = str(error)
        else:
            reason = ""
    is_valid = SCHEMA.is_valid({name: value}) if _is_json(value) else False
    if reason:
        # Profiles of latency are written in a language of their own.
        is_exempt = name == "latency" or any(words in reason for words in SAID_BY_NO_SCHEMA)
        assert is_exempt or not is_valid, reason
    else:
        assert is_valid


SAID_BY_NO_SCHEMA = (
    "form of a signed token",
    "path of a file is expected",  # NUL
    "script's file is missing",
    "holds no call",
    "is said by",  # an error that the surface doesn't say
    # What of a script goes together, and what is written in a language of its own.
    "says no answer",
    "can't both be",
    "is the whole answer",
    "only the answer of a script can have it",
    "it is about a list of `answers`",
    "is no JSON Schema that can be used",
    "is no regular expression",
    "NUL",
    "half of a surrogate pair",
    "write it as `stall tokens=2 seconds=5`",
    "is no `name=value`",
    "script.rule",
)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
