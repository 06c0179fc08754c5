"""Proxies and certificates of the environment: used where they should be, and named where they can't work."""

from __future__ import annotations

import asyncio
import random
import select
import socket
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import certifi
import pytest
import trustme

from phi_client import APIConnectionError, APITimeoutError, ConfigurationError, Timeout
from phi_client._wire.certificates import tls_context
from phi_client._wire.proxies import proxy_for
from tests.wire import BODY, LIMIT_S, SOON_S, WHOLE, Peer, Wire, answer, ask_async, listening, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
REMOTE = "https://phi.eastus2.models.ai.azure.com"
HOST = "phi.eastus2.models.ai.azure.com"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of whoever runs the tests."""
    for kind in ("http", "https", "all", "no"):
        for name in (f"{kind}_proxy", f"{kind}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that is trusted."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


def serving_as(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@contextmanager
def tunnel(service: Peer, asked: list[bytes], context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """A proxy that connects whoever asks to `service`."""

    def serve(peer: Peer, sock: socket.socket, number: int) -> None:
        request = read_request(sock)
        if request is None:
            return
        asked.append(request)
        if not request.startswith(b"CONNECT"):
            sock.sendall(WHOLE)
            return
        with socket.create_connection(("127.0.0.1", service.port)) as onward:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {sock: onward, onward: sock}
            while not peer.ended.is_set():
                waiting = [one for one in ends if isinstance(one, ssl.SSLSocket) and one.pending()]
                for one in waiting or select.select(list(ends), [], [], LIMIT_S)[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    ends[one].sendall(data)

    with listening(serve, context) as peer:
        yield peer


def never_resolved(host: str, *_: Any, **__: Any) -> Any:
    raise AssertionError(f"{host} was looked up")


@BOTH
@pytest.mark.parametrize("is_sealed", [False, True], ids=["http proxy", "https proxy"])
def test_a_service_is_reached_through_the_proxy_and_nothing_of_it_is_shown_there(
    is_async: bool, is_sealed: bool, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    context = serving_as(authority, "localhost") if is_sealed else None
    with (
        listening(answer, serving_as(authority, HOST)) as service,
        tunnel(service, asked, context) as proxy,
    ):
        value = proxy.url.replace("://", "://user:p%40ss@")
        monkeypatch.setenv("HTTPS_PROXY", value)
        with Wire(REMOTE, is_async=is_async) as wire:
            assert [wire.ask().body for _ in range(3)] == [BODY] * 3
    (connect,) = asked
    assert connect.startswith(f"CONNECT {HOST}:443 ".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in connect  # user:p@ss
    assert b"a-key" not in connect


@BOTH
def test_a_proxy_that_refuses_says_why_and_nothing_was_sent(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(
            b"HTTP/1.1 407 user:secret-word (dXNlcjpzZWNyZXQtd29yZA==) is wrong\r\ncontent-length: 0\r\n\r\n"
        )

    with listening(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:secret-word@"))
        with (
            Wire(REMOTE, is_async=is_async) as wire,
            pytest.raises(APIConnectionError, match="407") as caught,
        ):
            wire.ask()
    assert not caught.value.request_sent
    for secret in ("secret-word", "dXNlcjpzZWNyZXQtd29yZA"):
        assert secret not in f"{caught.value!r} {caught.value.__cause__!r}"


@BOTH
def test_a_proxy_that_is_silent_is_a_connect_that_takes_too_long(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say_nothing(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        peer.ended.wait(LIMIT_S)

    with listening(say_nothing) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with Wire(REMOTE, is_async=is_async) as wire:
            for options in ({"timeout": Timeout(connect=SOON_S)}, {"deadline": SOON_S}):
                with pytest.raises(APITimeoutError) as caught:
                    wire.ask(**options)
                assert caught.value.phase == next(iter(options)).replace("timeout", "connect")
                assert not caught.value.request_sent


@BOTH
def test_a_proxy_that_hangs_up_got_no_request(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)

    with listening(hang_up) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with Wire(REMOTE, is_async=is_async) as wire, pytest.raises(APIConnectionError) as caught:
            wire.ask()
    assert (caught.value.request_sent, caught.value.is_refused) == (False, False)


@BOTH
def test_a_proxy_that_does_not_listen_is_named(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-word@127.0.0.1:9")
    with (
        Wire(REMOTE, is_async=is_async) as wire,
        pytest.raises(APIConnectionError, match="through the proxy of `HTTPS_PROXY`") as caught,
    ):
        wire.ask()
    assert (caught.value.request_sent, caught.value.is_refused) == (False, False)
    assert "secret-word" not in f"{caught.value!r} {caught.value.__cause__!r}"


@BOTH
def test_this_machine_is_reached_without_the_proxy(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    with listening(answer) as peer, Wire(peer.url, is_async=is_async) as wire:
        assert wire.ask().body == BODY


@pytest.mark.parametrize(
    ("settings", "uses"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, True),
        ({"https_proxy": "p:1"}, True),
        ({"ALL_PROXY": "http://p:1"}, True),
        ({"HTTP_PROXY": "http://p:1"}, False),
        ({"HTTPS_PROXY": ""}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost, *"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "azure.com"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".azure.com"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,[::1],::/0,10.0.0.0/8"}, True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, True),
    ],
)
def test_what_the_environment_wants_is_done(
    settings: dict[str, str], uses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(REMOTE, is_loopback=False)
    assert (proxy is not None) == uses
    assert proxy is None or (proxy.scheme, proxy.host, proxy.port) == ("http", "p", 1)
    assert proxy_for(REMOTE, is_loopback=True) is None


@pytest.mark.parametrize(
    ("host", "no_proxy", "uses"),
    [
        ("a.azure.com", "*.azure.com", False),
        ("a.azure.com", "*.AZURE.com:443", False),
        ("a.azure.com", "a.azure.com:443", False),
        ("a.azure.com", "a.azure.com:8443", True),
        ("a.azure.com", "*.zure.com, *.b.azure.com,:443,.", True),
        ("a.azure.com:8443", "azure.com:8443", False),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "192.168.0.0/16,10.1.2.4, fd00::/8", True),
        ("10.1.2.3", "10.1.2.3:443", False),
        ("[fd00::1]", "fd00::/8", False),
        ("[fd00::1]", "[fd00::1]", False),
    ],
)
def test_hosts_without_a_proxy_are_named_as_people_name_them(
    host: str, no_proxy: str, uses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"https://{host}/v1", is_loopback=False) is not None) == uses


BAD = [
    ("HTTPS_PROXY", "ftp://p:1", "scheme `ftp`"),
    ("HTTPS_PROXY", "foo://u:hidden@p:1", "scheme `foo`"),
    ("https_proxy", "http://", "no host"),
    ("HTTPS_PROXY", "http://:3128", "no host"),
    ("HTTPS_PROXY", "http://p:port", "no URL"),
    ("HTTPS_PROXY", "http://p:99999", "no URL"),
    ("HTTPS_PROXY", "http://p:0", "no host and port"),
    ("HTTPS_PROXY", "http://[::1", "no URL"),
    ("HTTPS_PROXY", "http://" + "a" * 80 + ":1", "no URL"),
    ("HTTPS_PROXY", "http://p:1\n", "line breaks"),
    ("ALL_PROXY", "http://u:hidden@p:1 ", "spaces"),
    ("HTTPS_PROXY", "socks5://p:1", "socksio"),
    ("ALL_PROXY", "socks5h://p:1", "socksio"),
    ("NO_PROXY", "localhost\n10.0.0.1", "line breaks"),
]


@BOTH
@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_a_setting_that_cannot_work_is_named_with_what_to_do(
    name: str, value: str, said: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phi_client._wire.proxies.find_spec", lambda name: None)
    monkeypatch.setattr(socket, "getaddrinfo", never_resolved)
    if name == "NO_PROXY":
        monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv(name, value)
    with Wire(REMOTE, is_async=is_async) as wire, pytest.raises(ConfigurationError, match=said) as caught:
        wire.ask()
    assert f"`{name}`" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_setting_of_the_system_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the registry of Windows and the configuration of macOS give it.
    monkeypatch.setattr("phi_client._wire.proxies.getproxies", lambda: {"https": "ftp://p:1"})
    with pytest.raises(ConfigurationError, match="the system's proxy setting"):
        proxy_for(REMOTE, is_loopback=False)


def test_no_random_setting_escapes_as_a_foreign_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [
        "http",
        "https",
        "socks5",
        "://",
        ":",
        "@",
        "[",
        "]",
        "%",
        "%zz",
        "user",
        "é",
        "p",
        "80",
        "/",
        "#",
        "\t",
        " ",
    ]

    chance = random.Random(20_260_416)
    monkeypatch.setattr("phi_client._wire.proxies.find_spec", lambda name: None)
    for _ in range(2000):
        value = "".join(chance.choices(pieces, k=chance.randint(1, 8)))
        monkeypatch.setenv("HTTPS_PROXY", value)
        with suppress(ConfigurationError):
            proxy_for(REMOTE, is_loopback=False)


def certificates(folder: Path) -> dict[str, tuple[str, str]]:
    """Settings that can't work."""
    (folder / "empty").mkdir()
    (folder / "empty.pem").touch()
    (folder / "text.pem").write_text("no certificate")
    (folder / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return {
        "no file": ("SSL_CERT_FILE", str(folder / "nowhere.pem")),
        "a folder": ("SSL_CERT_FILE", str(folder)),
        "empty": ("SSL_CERT_FILE", str(folder / "empty.pem")),
        "text": ("SSL_CERT_FILE", str(folder / "text.pem")),
        "cut": ("SSL_CERT_FILE", str(folder / "cut.pem")),
        "no folder": ("SSL_CERT_DIR", str(folder / "nowhere")),
        "an empty folder": ("SSL_CERT_DIR", str(folder / "empty")),
        "a file": ("SSL_CERT_DIR", str(folder / "text.pem")),
        "unhashed": ("SSL_CERT_DIR", str(folder)),
        "a log nowhere": ("SSLKEYLOGFILE", str(folder / "nowhere" / "keys")),
    }


@BOTH
@pytest.mark.parametrize(
    "kind",
    [
        "no file",
        "a folder",
        "empty",
        "text",
        "cut",
        "no folder",
        "an empty folder",
        "a file",
        "unhashed",
        "a log nowhere",
    ],
)
def test_certificates_that_cannot_be_used_are_named_with_what_to_do(
    kind: str, is_async: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value = certificates(tmp_path)[kind]
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "getaddrinfo", never_resolved)
    with Wire(REMOTE, is_async=is_async) as wire, pytest.raises(ConfigurationError, match=f"`{name}`"):
        wire.ask()


@BOTH
def test_certificates_are_not_looked_at_where_no_tls_is_spoken(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with listening(answer) as peer, Wire(peer.url, is_async=is_async) as wire:
        assert wire.ask().body == BODY


def test_clients_share_one_tls_context_until_the_environment_names_other_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = tls_context()
    assert tls_context() is shared
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    other = tls_context()
    assert other is not shared
    assert other.verify_mode is ssl.CERT_REQUIRED
    assert other.check_hostname


@BOTH
def test_over_tls_the_authorities_that_the_environment_names_are_trusted_and_no_others(
    is_async: bool, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(answer, serving_as(authority, "localhost")) as peer:
        with Wire(peer.url, is_async=is_async) as wire:
            assert [wire.ask().body for _ in range(3)] == [BODY] * 3
        assert peer.connections == 1
        monkeypatch.delenv("SSL_CERT_FILE")
        with Wire(peer.url, is_async=is_async) as wire:
            with pytest.raises(APIConnectionError, match="certificate") as caught:
                wire.ask()
            assert not caught.value.request_sent


@BOTH
def test_a_certificate_for_another_host_is_refused(is_async: bool, authority: trustme.CA) -> None:
    with (
        listening(answer, serving_as(authority, "elsewhere.example")) as peer,
        Wire(peer.url, is_async=is_async) as wire,
        pytest.raises(APIConnectionError, match="certificate") as caught,
    ):
        wire.ask()
    assert not caught.value.request_sent


@BOTH
@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_peer_that_does_not_speak_tls_got_no_request(is_async: bool, says: bytes) -> None:
    def speak_plainly(peer: Peer, sock: socket.socket, number: int) -> None:
        sock.recv(65536)
        sock.sendall(says)

    with listening(speak_plainly) as peer:
        url = peer.url.replace("http://127.0.0.1", "https://localhost")
        with Wire(url, is_async=is_async) as wire, pytest.raises(APIConnectionError) as caught:
            wire.ask()
    assert not caught.value.request_sent


def test_many_cancelled_exchanges_over_tls_leave_no_connection(authority: trustme.CA) -> None:
    async def run(wire: Wire) -> None:

        for turns in range(60):
            task = asyncio.create_task(ask_async(wire.connections, wire.step()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await ask_async(wire.connections, wire.step())).body == BODY

    with (
        listening(answer, serving_as(authority, "localhost")) as peer,
        Wire(peer.url, is_async=True) as wire,
    ):
        wire.run(run(wire))
