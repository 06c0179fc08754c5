"""The check of configured endpoints: what is wrong is named, nothing is generated, and no secret is shown."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from phi_client._check import Finding, check_endpoints

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"
KEY = "a-key-that-must-never-be-shown-00"
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
DATE = {"Date": format_datetime(NOW, usegmt=True)}
INFO = {
    "model_name": "Phi-4-mini-reasoning",
    "model_type": "chat-completion",
    "model_provider_name": "Microsoft",
}


@dataclass
class Token:
    token: str
    expires_on: int


class Credential:
    """Gives a token with the claims that it is made with."""

    def __init__(self, *, lasts_s: int = 3600, **claims: Any) -> None:
        parts = ({"alg": "RS256"}, claims)
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        self.token = Token(
            ".".join([*encoded, "signature-that-must-not-be-shown"]), int(NOW.timestamp()) + lasts_s
        )

    def get_token(self, *scopes: str, **kwargs: Any) -> Token:
        return self.token


class Broken:
    """A credential that has nothing to give."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Token:
        raise RuntimeError("nobody is signed in\nsecret details")


def check(
    answer: httpx.Response | Exception,
    *,
    endpoint: str = ENDPOINT,
    credential: Any = None,
    seen: list[httpx.Request] | None = None,
    **environ: str,
) -> list[Finding]:
    def respond(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    key = {} if credential else {"PHI_API_KEY": KEY}
    with httpx.Client(transport=httpx.MockTransport(respond)) as http:
        found = check_endpoints(
            {"PHI_ENDPOINT": endpoint} | key | environ,
            credential=credential,
            http_client=http,
            now=NOW.timestamp,
        )
    assert KEY not in repr(found)
    assert "signature" not in repr(found)
    return found


def statuses(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.status) for finding in found]


def test_a_good_key_is_called_good_and_nothing_is_generated() -> None:
    seen: list[httpx.Request] = []
    found = check(httpx.Response(200, json=INFO, headers=DATE), seen=seen)
    assert statuses(found) == [("endpoint", "ok"), ("key", "ok"), ("clock", "ok")]
    assert "Phi-4-mini-reasoning answers" in found[1].text
    assert [(request.method, request.url.path) for request in seen] == [("GET", "/info")]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_failure(status: int) -> None:
    refused = httpx.Response(status, json={"error": {"code": "x", "message": f"Bad key {KEY}"}}, headers=DATE)
    assert statuses(check(refused))[1] == ("key", "failure")


def test_a_service_that_is_not_there_is_a_failure_of_the_connection() -> None:
    found = check(httpx.ConnectError("Name or service not known"))
    assert statuses(found) == [("endpoint", "ok"), ("connection", "failure")]


def test_what_speaks_no_dialect_is_a_warning() -> None:
    assert statuses(check(httpx.Response(200, text="<html>", headers=DATE)))[1] == ("endpoint", "warning")


def test_a_missing_route_means_no_failure_on_managed_compute_alone() -> None:
    missing = httpx.Response(404, json={"detail": "Not Found"}, headers=DATE)
    managed = "https://phi.eastus2.inference.ml.azure.com"
    assert statuses(check(missing, endpoint=managed))[1] == ("key", "ok")
    assert statuses(check(missing))[1] == ("endpoint", "failure")


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, "ok"), (119, "ok"), (-119, "ok"), (121, "failure"), (-600, "failure")]
)
def test_a_clock_that_is_off_is_a_failure(seconds: int, status: str) -> None:
    there = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)
    headers = {"Date": format_datetime(there, usegmt=True)}
    found = check(httpx.Response(200, json=INFO, headers=headers))
    assert statuses(found)[2] == ("clock", status)
    if status == "failure":
        assert ("behind" if seconds > 0 else "ahead of") in found[2].text


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_service_without_a_date_tells_nothing_of_the_clock(date: str | None) -> None:
    found = check(httpx.Response(200, json=INFO, headers={"Date": date} if date else {}))
    assert statuses(found)[2] == ("clock", "warning")


@pytest.mark.parametrize("audience", ["https://ml.azure.com", "https://ml.azure.com/"])
def test_a_token_for_this_endpoint_is_called_good(audience: str) -> None:
    found = check(httpx.Response(200, json=INFO, headers=DATE), credential=Credential(aud=audience))
    assert statuses(found) == [("endpoint", "ok"), ("token", "ok"), ("token", "ok"), ("clock", "ok")]
    assert "good for 60 min" in found[1].text


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        (Credential(aud="https://management.azure.com"), "this endpoint takes 'https://ml.azure.com'"),
        (Credential(aud="https://ml.azure.com", lasts_s=-1), "has expired"),
        (Broken(), "nobody is signed in"),
    ],
)
def test_a_token_that_cannot_work_is_not_sent(credential: Any, said: str) -> None:
    seen: list[httpx.Request] = []
    found = check(httpx.Response(200, json=INFO), credential=credential, seen=seen)
    assert statuses(found) == [("endpoint", "ok"), ("token", "failure")]
    assert said in found[1].text
    assert "secret details" not in found[1].text
    assert seen == []


def test_a_token_that_cannot_be_read_is_sent_all_the_same() -> None:
    credential = Credential(aud="x")
    credential.token = Token("opaque", int(NOW.timestamp()) + 60)
    found = check(httpx.Response(200, json=INFO, headers=DATE), credential=credential)
    assert statuses(found) == [("endpoint", "ok"), ("token", "warning"), ("token", "ok"), ("clock", "ok")]


def test_each_of_several_endpoints_is_checked() -> None:
    found = check(
        httpx.Response(200, json=INFO, headers=DATE),
        endpoint=f"{ENDPOINT} https://other.westus3.models.ai.azure.com",
        PHI_API_KEY=f"{KEY} another-key",
    )
    assert statuses(found) == [("endpoint", "ok"), ("key", "ok"), ("clock", "ok")] * 2


@pytest.mark.parametrize(
    "endpoint", ["", "https://portal.azure.com/#view", "http://phi.eastus2.models.ai.azure.com"]
)
def test_an_endpoint_that_cannot_work_is_the_one_finding(endpoint: str) -> None:
    assert statuses(check(httpx.Response(200), endpoint=endpoint)) == [("endpoint", "failure")]


def test_the_command_prints_lines_or_json() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        # Nothing listens on the discard port of loopback.
        environ = {"PHI_ENDPOINT": "http://127.0.0.1:9", "PHI_API_KEY": KEY, "PHI_DIALECT": "serverless"}
        paths = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        return subprocess.run(
            [sys.executable, "-m", "phi_client", *arguments],
            env=environ | paths,
            capture_output=True,
            text=True,
            check=False,
        )

    plain, as_json, wrong = run(), run("--json"), run("--key")
    assert plain.returncode == as_json.returncode == 1
    assert "failure  connection" in plain.stdout
    assert [json.loads(line)["subject"] for line in as_json.stdout.splitlines()] == ["endpoint", "connection"]
    assert (wrong.returncode, wrong.stdout) == (2, "")
