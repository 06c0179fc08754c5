"""Mixed exchanges with a served emulator leave it well and idle, and what must not come is noticed."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.mixed_exchanges import Exchange, draw
from benchmarks.mixed_requests import complaint, exchange, run

KINDS = {"valid", "large", "form", "invalid", "other", "hostile", "hung up", "pipelined", "slow"}


@pytest.mark.timeout(300)
def test_mixed_requests_leave_the_emulator_well_and_idle() -> None:
    report = run(requests=200, seed=2, side_by_side=8)
    assert report.wrong == []
    assert set(report.counts.statuses) == KINDS


def test_an_exchange_of_a_number_is_always_the_same() -> None:
    first = [draw(3, number) for number in range(200)]
    assert first == [draw(3, number) for number in range(200)]
    assert {sent.kind for sent in first} == KINDS
    assert first != [draw(4, number) for number in range(200)]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (["200"], False),
        (["422"], True),
        (["500"], True),
        (["closed"], True),
        (["200", "200"], True),
        (["no answer in time"], True),
        (["error within"], True),
    ],
)
def test_what_must_not_come_is_told(ends: list[str], told: bool) -> None:
    sent = Exchange("valid", [], succeeds=True)
    assert (complaint(sent, ends) is not None) is told


@pytest.mark.parametrize(
    ("answers", "ends"),
    [
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 422 Unprocessable\r\n\r\n",
            ["200", "422"],
        ),
        (b"HTTP/1.1 424 x\r\nms-azureml-model-error-statuscode: 500\r\n\r\n", ["error within"]),
        (b'HTTP/1.1 200 OK\r\n\r\ndata: {"error":{}}\n\n', ["error within"]),
        (b"", ["closed"]),
    ],
)
def test_what_comes_is_read(answers: bytes, ends: list[str]) -> None:
    async def ask() -> list[str]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(5)
            writer.write(answers)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            return await exchange(server.sockets[0].getsockname()[1], Exchange("any", [b"POST "]))

    assert asyncio.run(ask()) == ends
