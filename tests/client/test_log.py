"""The log: shown once whatever else logs, never with what is secret, and left as it was found."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phi_client._call.log import (
    LOGGER,
    RETRY_LOGGER,
    apply_log_level,
    log_answer,
    log_request,
    safe_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

A_CALL = """
import httpx, phi_client
reply = httpx.Response(200, json={"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]})
http = httpx.Client(transport=httpx.MockTransport(lambda request: reply))
client = phi_client.PhiClient("emulator", http_client=http)
"""
ROOT_CONFIG = "import logging; logging.basicConfig(level=logging.DEBUG, format='ROOT %(message)s'{})"
AN_ODD_HANDLER = """
import logging
class Prettier(logging.Handler):
    def emit(self, record): print("PRETTIER", record.getMessage())
logging.getLogger().addHandler(Prettier())
"""


def shown_by(*statements: str, level: str = "debug") -> list[str]:
    """What a process prints of a call, on either stream."""
    script = "\n".join([*statements, "client.complete('x', temperature=0)"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True, capture_output=True, text=True, env={"PHI_LOG": level, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    return [line for line in (done.stdout + done.stderr).splitlines() if "answered 200" in line]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(
    ("config", "shown"),
    [
        (ROOT_CONFIG.format(""), "ROOT "),
        (ROOT_CONFIG.format(", stream=__import__('sys').stdout"), "ROOT "),
        (ROOT_CONFIG.format(", filename=__import__('os').devnull"), "phi_client DEBUG"),
        ("import logging; logging.getLogger('phi_client').addHandler(logging.StreamHandler())", "http"),
        ("import logging; logging.getLogger().addHandler(logging.NullHandler())", "phi_client DEBUG"),
        (AN_ODD_HANDLER, "PRETTIER"),
    ],
)
def test_a_record_is_shown_once_beside_an_applications_own_logging(
    config: str, shown: str, order: str
) -> None:
    statements = (config, A_CALL) if order == "before" else (A_CALL, config)
    (line,) = shown_by(*statements)
    assert shown in line


def test_a_handler_that_would_not_show_a_record_is_none() -> None:
    high = "logging.getLogger().handlers[0].setLevel(logging.WARNING)"
    (line,) = shown_by(ROOT_CONFIG.format(""), high, A_CALL)
    assert "phi_client DEBUG" in line
    others = "logging.getLogger().handlers[0].addFilter(logging.Filter('myapp'))"
    (line,) = shown_by(ROOT_CONFIG.format(""), others, A_CALL)
    assert "phi_client DEBUG" in line


def test_a_word_that_is_no_level_is_noted_once_without_repeating_it() -> None:
    assert shown_by(A_CALL, level="a-key-in-the-wrong-variable") == []
    script = A_CALL + "\nphi_client.PhiClient('emulator')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True, capture_output=True, text=True, env={"PHI_LOG": "verbose", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stderr.count("`PHI_LOG` is none of `debug`, `info`, `warning`, `error`") == 1
    assert "verbose" not in done.stderr


@pytest.fixture
def switched() -> Iterator[Callable[[str], None]]:
    """Set `PHI_LOG`; it is taken away at the end."""
    yield lambda level: apply_log_level({"PHI_LOG": level})
    apply_log_level({})
    LOGGER.setLevel(logging.NOTSET)
    assert LOGGER.handlers == []


def test_the_switch_is_turned_again_and_taken_away(switched: Callable[[str], None]) -> None:
    for word, level in [("debug", logging.DEBUG), (" Debug ", logging.DEBUG), ("ERROR", logging.ERROR)]:
        switched(word)
        assert (len(LOGGER.handlers), LOGGER.level, LOGGER.propagate) == (1, level, True)
    apply_log_level({})
    assert (LOGGER.handlers, LOGGER.level) == ([], logging.NOTSET)


def test_a_level_that_the_application_set_since_stays(switched: Callable[[str], None]) -> None:
    switched("debug")
    LOGGER.setLevel(logging.ERROR)
    apply_log_level({})
    assert LOGGER.level == logging.ERROR


def test_caplog_and_standard_error_get_each_record_once(
    switched: Callable[[str], None], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    switched("info")
    RETRY_LOGGER.info("again")
    LOGGER.debug("unasked")
    assert [record.getMessage() for record in caplog.records] == ["again"]
    assert capsys.readouterr().err.count("again") == 1


def test_the_log_goes_to_what_standard_error_is_just_then(
    switched: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, later = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    switched("info")
    closed.close()
    monkeypatch.setattr(sys, "stderr", later)
    LOGGER.info("said")
    monkeypatch.setattr(sys, "stderr", None)
    LOGGER.info("lost")
    assert later.getvalue().endswith("phi_client INFO said\n")


def test_a_file_of_the_application_gets_its_records(switched: Callable[[str], None], tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    LOGGER.addHandler(handler)
    try:
        switched("info")
        LOGGER.info("said")
    finally:
        LOGGER.removeHandler(handler)
        handler.close()
    assert (tmp_path / "log").read_text() == "said\n"


SECRETS = st.text("abcXYZ019", min_size=12, max_size=20).map(lambda text: f"planted{text}")
PARTS = st.text(st.characters(exclude_characters="@?#/\\[]:", codec="utf-8"), max_size=8)


@given(secret=SECRETS, host=PARTS, path=PARTS, port=st.integers(0, 99999))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_log_line_holds_neither_user_nor_query_nor_body(
    secret: str, host: str, path: str, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG, logger=LOGGER.name)
    for url in (
        f"https://{secret}:{secret}@{host}:{port}/{path}?key={secret}#{secret}",
        f"http://{secret}@[::1]:{port}/?{secret}",
    ):
        log_request("POST", url, json.dumps({"messages": [{"content": secret}]}).encode(), "sent-as")
        log_answer(url, 200, None, "sent-as")
    assert len(caplog.records) == 4
    assert secret.lower() not in caplog.text.lower()


@given(st.text())
@settings(max_examples=200)
def test_any_text_can_be_asked_for_as_a_url(text: str) -> None:
    assert "?" not in safe_url(text)


def test_a_logged_url_is_one() -> None:
    assert safe_url("http://u:p@[::1]:8080/a?b") == "http://[::1]:8080/a"
    assert safe_url("https://host.example/a/b") == "https://host.example/a/b"
