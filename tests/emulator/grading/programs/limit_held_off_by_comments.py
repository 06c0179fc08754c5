"""Has a limit for each read, which a comment every now and then holds off."""

import asyncio
import sys

import httpx
from shared import HEADERS, URL, answer_of, body, events


async def main():
    text, reason = "", None
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("POST", URL, json=body(stream=True), headers=HEADERS) as reply,
    ):
        if reply.is_error:
            sys.exit(f"{reply.status_code}: {(await reply.aread()).decode()}")
        for chunk in events([line async for line in reply.aiter_lines()]):
            if "choices" not in chunk:
                sys.exit(f"error in the stream: {chunk}")
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
                reason = choice["finish_reason"] or reason
    if reason != "stop":
        sys.exit(f"the answer is cut: {reason}")
    print(answer_of(text))


asyncio.run(main())
