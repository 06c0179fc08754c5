"""The settings: which of three sources wins, and what can't work."""

from __future__ import annotations

from typing import Any

import pytest
from phi_emulator.config import ConfigError, EmulatorConfig

from phi_client.contract.emulator import EMULATOR_KEY


def test_defaults_give_way_to_the_environment_and_that_to_what_is_given() -> None:
    environ = {
        "PHI_EMULATOR_PORT": "1",
        "PHI_EMULATOR_MODEL": "m",
        "PHI_EMULATOR_CONTEXT": "",
        "PHI_EMULATOR_XYZ": "y",
    }
    config = EmulatorConfig.from_environment(environ, port=2, model=None, queue_size=None)
    assert config == EmulatorConfig(port=2, model="m")


def test_numbers_are_read_from_the_environment() -> None:
    environ = {"PHI_EMULATOR_DRAIN_SECONDS": "0.5", "PHI_EMULATOR_QUEUE_SIZE": "0"}
    assert EmulatorConfig.from_environment(environ) == EmulatorConfig(drain_seconds=0.5, queue_size=0)
    with pytest.raises(ConfigError, match=r"^PHI_EMULATOR_PORT: `many` is not a number: give 0 to 65535$"):
        EmulatorConfig.from_environment({"PHI_EMULATOR_PORT": "many"})


@pytest.mark.parametrize("name", ["extensions", "loose", "deterministic", "help_text"])
def test_switches_take_the_same_words_in_the_environment(name: str) -> None:
    for word, expected in {
        "yes": True,
        "ON": True,
        "1": True,
        " no ": False,
        "off": False,
        "false": False,
    }.items():
        config = EmulatorConfig.from_environment({f"PHI_EMULATOR_{name.upper()}": word})
        assert getattr(config, name) is expected
    with pytest.raises(ConfigError, match="is not yes or no"):
        EmulatorConfig.from_environment({f"PHI_EMULATOR_{name.upper()}": "maybe"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"port": -1},
        {"port": 65_536},
        {"key": ""},
        {"key": "a b"},
        {"key": "schlüssel"},
        {"key": "line\n"},
        {"key": "eyJhbGciOiJub25lIn0.e30."},
        {"surface_keys": {"serverless": ("a b",)}},
        {"surface_keys": {"serverless": ("eyJhbGciOiJub25lIn0.e30.",)}},
        {"surface_keys": {"azure": ("k",)}},
        {"tenant": ""},
        {"tenant": "a/b"},
        {"token_seconds": 0},
        {"dialect": "telepathy"},
        {"device": "gpu"},
        {"queue_size": -1},
        {"context": 0},
        {"cache_bits": 16},
        {"drain_seconds": -1},
        {"drain_seconds": float("nan")},
        {"drain_seconds": float("inf")},
        {"max_body_bytes": 0},
        {"log_level": "loud"},
    ],
    ids=str,
)
def test_what_can_not_work_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"^{name}[.:]"):
        EmulatorConfig(**wrong)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "box.lan"])
def test_a_host_that_others_reach_needs_a_key_of_ones_own(host: str) -> None:
    with pytest.raises(ConfigError, match="`--key` or `PHI_EMULATOR_KEY`"):
        EmulatorConfig(host=host)
    assert EmulatorConfig(host=host, key="mine").host == host


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.2"])
def test_loopback_does_with_the_well_known_key(host: str) -> None:
    assert EmulatorConfig(host=host).key == EMULATOR_KEY


def test_a_host_that_others_reach_needs_keys_of_ones_own_for_each_surface() -> None:
    with pytest.raises(ConfigError, match="`--key` or `PHI_EMULATOR_KEY`"):
        EmulatorConfig(host="0.0.0.0", key="mine", surface_keys={"serverless": (EMULATOR_KEY,)})


def test_keys_of_surfaces_are_words() -> None:
    words = "serverless=a managed_compute=b=, managed_compute=c"
    config = EmulatorConfig.from_environment({"PHI_EMULATOR_SURFACE_KEYS": words}, key="mine")
    assert config.surface_keys == {"serverless": ("a",), "managed_compute": ("b=,", "c")}
    assert [config.key_of(name) for name in ("serverless", "managed_compute", "openai_v1")] == [
        "a",
        "b=,",
        "mine",
    ]


@pytest.mark.parametrize("word", ["hush-hush", "azure=hush-hush", "=hush-hush"])
def test_a_word_that_is_no_key_of_a_surface_is_not_repeated(word: str) -> None:
    with pytest.raises(ConfigError, match="`serverless=KEY`") as caught:
        EmulatorConfig.from_environment({"PHI_EMULATOR_SURFACE_KEYS": word})
    assert "hush-hush" not in str(caught.value)


def test_the_keys_are_not_shown() -> None:
    assert "secret" not in repr(EmulatorConfig(key="secret", surface_keys={"serverless": ("secret",)}))
