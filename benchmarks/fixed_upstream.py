"""A chat service that does no work: fixed bytes, so that what a benchmark measures is the client.

It must not know which client asks. Run as a process of its own: `python -m benchmarks.fixed_upstream` prints its port.
A request that streams gets as many chunks as its `max_tokens`, each as a piece of its own.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1763856000,
        "model": "phi-4-mini-reasoning",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "<think>\n17 * 24 = 340 + 68\n</think>\n\nIt is \\boxed{408}.",
                },
                "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
            }
        ],
        "usage": {"prompt_tokens": 14, "completion_tokens": 28, "total_tokens": 42},
    }
).encode()
WHOLE: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: 0123\r\ncontent-length: %d\r\n\r\n%b"
) % (len(ANSWER), ANSWER)
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: 0123\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _piece(data: bytes) -> bytes:
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(content: str, finish_reason: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason, "logprobs": None}
    head = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1763856000}
    return _piece(
        json.dumps({**head, "model": "phi-4-mini-reasoning", "choices": [choice], **members}).encode()
    )


FIRST: Final = _chunk("<think>")
PIECE: Final = _chunk(" and")
LAST: Final = (
    _chunk("", "stop", usage={"prompt_tokens": 14, "completion_tokens": 28, "total_tokens": 42})
    + _piece(b"[DONE]")
    + b"0\r\n\r\n"
)


class Answering(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        if len(body) >= length:
            self._got = b""
            self._answer(json.loads(body))

    def _answer(self, request: dict[str, Any]) -> None:
        if not request.get("stream"):
            self._transport.write(WHOLE)
            return
        self._transport.write(STREAM_HEAD + FIRST)
        for _ in range(request["max_tokens"] - 2):
            self._transport.write(PIECE)
        self._transport.write(LAST)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
