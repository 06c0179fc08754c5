"""Real endpoints are refused in tests, in every way in which they may be asked, unless they are allowed."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunTests

REAL = """
import asyncio
import os
import subprocess
import sys

import httpx
import pytest
from phi_client import AsyncPhiClient, PhiClient
from phi_client.testing import RealEndpointError

URL = "https://no-such-endpoint.eastus2.models.ai.azure.com"
KEY = "a-key-that-is-never-sent"
refused = pytest.raises(RealEndpointError, match="no-such-endpoint.*phi_real")
"""


def test_no_way_of_our_client_leads_out(run_tests: RunTests) -> None:
    run_tests(
        REAL
        + """
@pytest.fixture(params=["own", "given"])
def client(request):
    with httpx.Client() as http, PhiClient(URL, KEY, http_client=None if request.param == "own" else http) as client:
        yield client

def test_complete(client):
    with refused:
        client.complete("x")

def test_stream(client):
    with refused, client.stream("x"):
        pass

def test_info(client):
    with refused:
        client.get_model_info()

def test_map(client):
    with refused:
        client.map(["x", "y"])

def test_fallback_to_a_real_one(phi_emulator, phi_faults):
    phi_faults.add("error", error="rate_limited")
    with PhiClient([phi_emulator.endpoint, URL], [phi_emulator.key, KEY]) as client, refused:
        client.complete("x")

def test_a_deadline_makes_no_difference(client):
    with refused:
        client.complete("x", deadline=5)

@pytest.mark.parametrize("is_given", [False, True])
def test_async(is_given):
    async def ask():
        http = httpx.AsyncClient() if is_given else None
        async with AsyncPhiClient(URL, KEY, http_client=http) as client:
            with refused:
                await client.complete("x")
            with refused:
                async with client.stream("x"):
                    pass
        if http:
            await http.aclose()
    asyncio.run(ask())

def test_tokens():
    from azure.identity import ClientSecretCredential, DefaultAzureCredential
    for credential in (None, DefaultAzureCredential(), ClientSecretCredential("t" * 36, "c", "s")):
        with PhiClient(URL, credential=credential) as client, pytest.raises(RealEndpointError, match="Entra ID"):
            client.complete("x")

def test_a_process_of_its_own():
    script = f"from phi_client import PhiClient; PhiClient({URL!r}, {KEY!r}, max_retries=0).complete('x')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "RealEndpointError" in done.stderr

def test_what_is_mocked_is_no_real_endpoint():
    reply = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=reply))) as http:
        assert PhiClient(URL, KEY, http_client=http).complete("x").content == "42"
""",
    ).assert_outcomes(passed=16)


def test_other_clients_are_refused_in_tests_with_an_emulator_and_in_no_others(run_tests: RunTests) -> None:
    run_tests(
        REAL
        + """
import socket
import openai

def test_openai(phi_emulator):
    with openai.OpenAI(base_url="https://no-such.openai.azure.com/openai/v1", api_key=KEY, max_retries=0) as client:
        with pytest.raises(RealEndpointError, match="phi_emulator.endpoint"):
            client.models.list()

def test_async_openai(phi_emulator):
    async def ask():
        url = "https://no-such.services.ai.azure.com/openai/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            with pytest.raises(RealEndpointError):
                await client.models.list()
    asyncio.run(ask())

def test_entra(phi_emulator):
    for host in ("login.microsoftonline.com", "LOGIN.MicrosoftOnline.com.", "169.254.169.254", b"x.openai.azure.com"):
        with pytest.raises(RealEndpointError):
            socket.getaddrinfo(host, 443)
    assert socket.getaddrinfo("127.0.0.1", 80)

look_up = socket.getaddrinfo

def test_without_an_emulator():
    assert socket.getaddrinfo is look_up

@pytest.mark.phi_real
def test_allowed(phi_emulator):
    assert socket.getaddrinfo is look_up
""",
    ).assert_outcomes(passed=5)


ALLOWED = (
    REAL
    + """
from phi_client import APIConnectionError

def test_it():
    # Its name has no address, so what is allowed to go out fails there.
    with PhiClient("https://phi.invalid/", KEY, dialect="serverless", max_retries=0, deadline=20) as client:
        with pytest.raises(APIConnectionError):
            client.complete("x")
"""
)


@pytest.mark.parametrize("arguments", [["--phi-real"], ["-o", "phi_real=true"]])
def test_a_run_may_allow_real_endpoints(run_tests: RunTests, arguments: list[str]) -> None:
    run_tests(ALLOWED, *arguments).assert_outcomes(passed=1)


def test_the_environment_and_a_mark_allow_real_endpoints(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tests(ALLOWED).assert_outcomes(failed=1)
    run_tests(ALLOWED + "\npytestmark = pytest.mark.phi_real").assert_outcomes(passed=1)
    monkeypatch.setenv("PHI_ALLOW_REAL", "1")
    run_tests(ALLOWED).assert_outcomes(passed=1)


def test_the_environment_is_as_it_was_after_a_run(run_tests: RunTests) -> None:
    import os  # noqa: PLC0415 - of this test alone

    run_tests("import os\ndef test_it(): assert os.environ['PHI_ALLOW_REAL'] == '0'").assert_outcomes(
        passed=1
    )
    assert "PHI_ALLOW_REAL" not in os.environ


def test_a_word_that_allows_or_forbids_nothing_is_said(
    run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_ALLOW_REAL", "perhaps")
    result = run_tests(REAL + "def test_it(): PhiClient(URL, KEY).complete('x')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*`PHI_ALLOW_REAL` is 'perhaps': give 1 or 0*"])
