"""A right client: streams by httpx on asyncio, which prints as it reads."""

import asyncio
import sys

import httpx
from shared import HEADERS, URL, body, events


async def main():
    text, shown, reason = "", 0, None
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("POST", URL, json=body(stream=True), headers=HEADERS) as reply,
    ):
        if reply.status_code != 200:
            sys.exit(f"{reply.status_code}: {(await reply.aread()).decode()}")
        async for line in reply.aiter_lines():
            for chunk in events([line]):
                if "choices" not in chunk:
                    sys.exit(f"error in the stream: {chunk}")
                for choice in chunk["choices"]:
                    text += choice["delta"].get("content") or ""
                    reason = choice["finish_reason"] or reason
            if "</think>" in text or reason:
                answer = text.rpartition("</think>")[2]
                print(answer[shown:], end="", flush=True)
                shown = len(answer)
    if reason != "stop":
        sys.exit(f"the answer is cut: {reason}")


async def limited():
    async with asyncio.timeout(600):
        await main()


asyncio.run(limited())
