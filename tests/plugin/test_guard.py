"""Real endpoints are refused in tests, in every way in which they may be asked, unless they are allowed."""

from __future__ import annotations

import sys

import pytest
from pytest_phi.other_clients import AzureGuard

from phi_client.contract.dialects import DIALECTS
from phi_client.testing import RealEndpointError
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


OTHERS = (
    REAL
    + """
import contextlib
import functools
import http.client
import socket
import socketserver
import threading
import urllib.request

import aiohttp
import azure.ai.inference.aio
import openai
import requests
import urllib3
import uvloop
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential

HOST = "no-such-endpoint.openai.azure.com"
V1 = f"https://{HOST}/openai/v1"
QUESTION = {"model": "phi", "messages": [{"role": "user", "content": "x"}]}
UPWARDS = {"api-key": KEY}

def ask_openai():
    with openai.OpenAI(base_url=V1, api_key=KEY, max_retries=0) as client:
        client.chat.completions.create(**QUESTION)

def ask_azure():
    with ChatCompletionsClient(URL, AzureKeyCredential(KEY), retry_total=0) as client:
        client.complete(messages=QUESTION["messages"])

def ask_raw():
    with contextlib.closing(socket.socket()) as sock:
        sock.connect((HOST, 443))

SYNC = {
    "openai": ask_openai,
    "azure": ask_azure,
    "httpx": lambda: httpx.post(V1, headers=UPWARDS),
    "requests": lambda: requests.post(V1, headers=UPWARDS),
    "urllib3": lambda: urllib3.request("POST", V1, headers=UPWARDS, retries=False),
    "urllib": lambda: urllib.request.urlopen(V1),
    "http.client": lambda: http.client.HTTPSConnection(HOST).request("GET", "/"),
    "a socket": ask_raw,
    "a name": lambda: socket.gethostbyname(HOST),
}

async def ask_openai_async():
    async with openai.AsyncOpenAI(base_url=V1, api_key=KEY, max_retries=0) as client:
        await client.chat.completions.create(**QUESTION)

async def ask_azure_async():
    client = azure.ai.inference.aio.ChatCompletionsClient(URL, AzureKeyCredential(KEY), retry_total=0)
    async with client:
        await client.complete(messages=QUESTION["messages"])

async def ask_httpx():
    async with httpx.AsyncClient() as client:
        await client.post(V1, headers=UPWARDS)

class Own(aiohttp.abc.AbstractResolver):
    async def resolve(self, host, port=0, family=0):
        return [{"hostname": host, "host": "127.0.0.1", "port": PORT, "family": socket.AF_INET, "proto": 0, "flags": 0}]
    async def close(self):
        pass

async def ask_aiohttp(resolver=None, **options):
    connector = aiohttp.TCPConnector(resolver=resolver and resolver())
    async with aiohttp.ClientSession(connector=connector) as session, session.post(V1, **options):
        pass

async def ask_loop():
    await asyncio.open_connection(HOST, 443, ssl=True)

ASYNC = {
    "openai": ask_openai_async,
    "azure": ask_azure_async,
    "httpx": ask_httpx,
    "aiohttp": ask_aiohttp,
    "aiohttp and a resolver of its own": functools.partial(ask_aiohttp, Own),
    "aiohttp through a proxy": lambda: ask_aiohttp(proxy=f"http://127.0.0.1:{PORT}"),
    "the loop": ask_loop,
}

sent = []

class Tunnels(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(10)
        with contextlib.suppress(OSError):
            if self.request.recv(4096).startswith(b"CONNECT"):
                self.request.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
                sent.append(self.request.recv(4096))

server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnels)
server.daemon_threads = True
PORT = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

def is_refused(error):
    # Some libraries put an error of their own around it.
    while error and not isinstance(error, RealEndpointError):
        error = error.__cause__ or error.__context__
    return error is not None

refused = pytest.raises(Exception, check=is_refused)
"""
)


def test_clients_of_others_are_refused_in_every_test(run_apart: RunTests) -> None:
    # In a process of its own: uvloop can't be loaded twice in one.
    run_apart(
        OTHERS
        + """
@pytest.mark.parametrize("ask", SYNC.values(), ids=SYNC)
def test_sync(ask):
    with refused:
        ask()

@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("ask", ASYNC.values(), ids=ASYNC)
def test_async(ask, run):
    with refused:
        run(ask())

@pytest.mark.parametrize("name", ["openai", "azure", "httpx", "requests", "urllib"])
def test_through_a_proxy(name, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{PORT}")
    with refused:
        SYNC[name]()

@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["openai", "httpx"])
def test_through_a_proxy_async(name, run, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{PORT}")
    with refused:
        run(ASYNC[name]())

def test_nothing_was_sent():
    assert not any(sent)
""",
    ).assert_outcomes(passed=9 + 2 * 7 + 5 + 4 + 1)


def test_places_of_tokens_are_refused_in_tests_with_an_emulator(run_tests: RunTests) -> None:
    run_tests(
        REAL
        + """
import socket

NAMES = ("login.microsoftonline.com", "LOGIN.MicrosoftOnline.com.", "169.254.169.254", b"sts.windows.net")

def test_it(phi_emulator):
    for host in NAMES:
        with pytest.raises(RealEndpointError):
            socket.getaddrinfo(host, 443)
    assert socket.getaddrinfo("127.0.0.1", 80)

@pytest.mark.parametrize("host", ["x.blob.core.windows.net", "dev.azure.com", "azure.com", "openai.azure.com.invalid"])
def test_what_is_no_endpoint(phi_emulator, host):
    try:
        socket.getaddrinfo(host, 443)
    except socket.gaierror:
        pass

def test_without_an_emulator():
    assert socket.getaddrinfo(NAMES[2], 443)

@pytest.mark.phi_real
def test_allowed(phi_emulator):
    assert socket.getaddrinfo(NAMES[2], 443)
""",
    ).assert_outcomes(passed=7)


def test_modules_that_a_test_loads_first_are_guarded_and_all_is_as_it_was_after_the_run(
    pytester: pytest.Pytester, run_apart: RunTests
) -> None:
    pytester.makepyfile(
        run="""
        import socket
        import sys
        import pytest

        before = socket.getaddrinfo
        assert not {"ssl", "asyncio", "uvloop"} & set(sys.modules)
        status = pytest.main(["-p", "pytest_phi", "-q", "test_it.py"])
        import ssl
        import uvloop
        assert socket.getaddrinfo is before
        assert "connect" not in vars(socket.socket) and "getaddrinfo" not in vars(uvloop.Loop)
        assert ssl.SSLContext.wrap_bio.__module__ == "ssl"
        assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("pytest_phi")]
        sys.exit(status)
        """,
        test_it="""
        import pytest

        def test_it():
            import uvloop
            async def ask():
                import asyncio
                await asyncio.get_running_loop().getaddrinfo("x.openai.azure.com", 443)
            with pytest.raises(Exception, match="x.openai.azure.com.*phi_real"):
                uvloop.run(ask())

        def test_tls():
            import ssl
            with pytest.raises(Exception, match="x.openai.azure.com.*phi_real"):
                ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, "x.openai.azure.com")
        """,
    )
    result = pytester.run(sys.executable, "-I", "-c", PATH_AND_RUN.format(sys.path))
    assert result.ret == 0


PATH_AND_RUN = "import sys; sys.path[:0] = ['.', *{}]; import run"


def test_names_that_are_looked_at_are_all_of_the_contract() -> None:
    suffixes = {suffix for dialect in DIALECTS.values() for suffix in dialect.host_suffixes}
    assert suffixes
    for suffix in suffixes:
        guard = AzureGuard()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PHI_ALLOW_REAL", "0")
            with pytest.raises(RealEndpointError):
                guard.check(f"Some-Name{suffix}".encode())
            environment.setenv("PHI_ALLOW_REAL", "1")
            guard.check(f"some-name{suffix}")


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
