"""No credential is in the journal, wherever a request puts it and however it is written."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator import EmulatorConfig
from phi_emulator.journal.pages import to_json
from phi_emulator.journal.secrets import _share_a_run

from phi_client.contract.secrets import SECRET_RUN
from tests.emulator.web.serving import Served, serving

KEY = "Q7x9-Lm3z_Wk5p8Rt2Yb6Nc4Vd1Fg0Hj"
OTHERS: list[str] = [
    "sk-proj-A1b2C3d4E5f6G7h8I9j0K1l2M3n4",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4eXoifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ",
    "b1946ac92492d2347c6235b4d2611184",
]
FORMS: list[Callable[[str], str]] = [
    lambda secret: secret,
    lambda secret: quote(secret, safe=""),
    lambda secret: "".join(f"%{ord(letter):02x}" for letter in secret),
    lambda secret: secret.swapcase(),
    lambda secret: "-".join(secret[place : place + 4] for place in range(0, len(secret), 4)),
    lambda secret: f"prefix{secret}suffix",
]


def letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum()).casefold()


def request(served: Served, seed: int) -> tuple[bytes, str]:
    """A request with a secret in several places, and the secret."""
    draw = random.Random(seed)
    secret = draw.choice([KEY, KEY, *OTHERS])
    written = draw.choice(FORMS)(secret)
    if secret == KEY:
        lines = [f"Authorization: Bearer {KEY}"]
    else:
        name = draw.choice(["Authorization: Bearer", "api-key:", "X-My-Token:", "Cookie: sid="])
        lines = [f"{name} {secret}"]
    place = draw.choice(["path", "query", "agent", "scope", "own", "model", "text", "id"])
    path = "/openai/v1/chat/completions"
    if place == "path":
        path = f"/openai/v1/{quote(written)}"
    if place == "query":
        path += f"?api-version={quote(written)}&key={quote(written)}"
    if place == "agent":
        lines.append(f"User-Agent: tester/{written}")
    if place == "scope":
        lines.append(f"x-phi-scope: {written}")
    if place == "own":
        lines.append(f"X-Note: {written}")
    if place == "id":
        lines.append(f"x-ms-client-request-id: {written}")
    said = written if place == "text" else "six"
    body = {"model": written if place == "model" else "phi", "messages": [{"role": "user", "content": said}]}
    data = json.dumps(body | {"stream": draw.random() < 0.5}).encode()
    head = "\r\n".join(
        [
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            *lines,
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
            "Connection: close",
        ]
    )
    return head.encode("latin-1") + b"\r\n\r\n" + data, secret


@pytest.mark.parametrize("texts", [False, True])
def test_no_secret_survives_in_any_place(texts: bool) -> None:
    with serving(config=EmulatorConfig(key=KEY, journal_texts=texts)) as served:
        for seed in range(150):
            sent, secret = request(served, seed)
            served.ask(sent)
            [entry] = served.app.journal.wait_for(1)
            told = json.dumps(to_json(entry, whole=True)) + repr(entry) + entry.describe()
            assert letters(secret) not in letters(told), (seed, told)
            assert secret not in told
            served.app.journal.clear()


def test_a_password_and_a_cookie_are_none_of_its_business() -> None:
    basic = base64.b64encode(b"me:hunter2-hunter2").decode()
    with serving() as served:
        served.ask(
            served.whole(b"{}", "X-Forwarded-Authorization: Basic " + basic, "Cookie: a=b; sid=s3cr3tvalue99")
        )
        [entry] = served.app.journal.wait_for(1)
    told = repr(entry)
    assert basic not in told
    assert "hunter2" not in told
    assert "s3cr3tvalue99" not in told


def test_what_is_no_secret_stays_as_it_is() -> None:
    with serving() as served:
        served.ask(
            served.whole(
                b"{}", "User-Agent: tester/1.0", "traceparent: 00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
            )
        )
        [entry] = served.app.journal.wait_for(1)
    assert entry.request_headers["user-agent"] == "tester/1.0"
    assert entry.request_headers["traceparent"].startswith("00-abab")
    assert entry.request_headers["authorization"] == "[secret]"
    assert entry.path == "/serverless/chat/completions"


@given(st.text("ab", max_size=30), st.text("ab", min_size=6, max_size=40))
def test_a_run_is_found_wherever_it_begins(letters: str, wanted: str) -> None:
    size = min(SECRET_RUN, len(wanted))
    runs = {wanted[place : place + size] for place in range(len(wanted) - size + 1)}
    assert _share_a_run(letters, wanted) == any(run in letters for run in runs)
