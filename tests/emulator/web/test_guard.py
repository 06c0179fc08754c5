"""Only requests that name this machine pass, whatever a web page makes a browser send."""

from __future__ import annotations

import pytest
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.guard import check_source

from phi_client.contract.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "phi.localhost", "localhost."]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip.io", ""]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("headers", "bound_host"),
    [
        ({"host": "127.0.0.1:16180"}, "127.0.0.1"),
        ({"Host": "[::1]:16180"}, "::1"),
        ({"host": "localhost", "origin": "http://localhost:3000"}, "127.0.0.1"),
        ({"host": "box.lan:80", "origin": "http://box.lan"}, "Box.lan"),
        ({"host": "any.name"}, "0.0.0.0"),
    ],
)
def test_it_passes(headers: dict[str, str], bound_host: str) -> None:
    check_source(headers, bound_host)


@pytest.mark.parametrize(
    ("headers", "bound_host"),
    [
        ({"host": "evil.example"}, "127.0.0.1"),
        ({"host": "127.0.0.1.evil.example:16180"}, "127.0.0.1"),
        ({"host": "evil.example#127.0.0.1"}, "127.0.0.1"),
        ({"host": "[::1"}, "127.0.0.1"),
        ({"host": "127.0.0.1:65536"}, "127.0.0.1"),
        ({"host": ""}, "127.0.0.1"),
        ({}, "127.0.0.1"),
        ({}, "0.0.0.0"),
        ({"host": "127.0.0.1", "origin": "https://evil.example"}, "127.0.0.1"),
        ({"host": "127.0.0.1", "origin": "null"}, "127.0.0.1"),
        ({"host": "10.0.0.1"}, "10.0.0.2"),
    ],
)
def test_it_is_refused_with_403(headers: dict[str, str], bound_host: str) -> None:
    with pytest.raises(ServiceError) as raised:
        check_source(headers, bound_host)
    assert raised.value.refusal.status == 403
    assert raised.value.refusal.headers == {"Connection": "close"}
