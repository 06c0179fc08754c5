"""A right client: this package's own, streams on asyncio."""

import asyncio
import sys

from shared import QUESTION

from phi_client import AsyncPhiClient, PhiError


async def main():
    try:
        async with AsyncPhiClient() as client, client.stream(QUESTION) as stream:
            done = await stream.until_done()
    except PhiError as error:
        sys.exit(str(error))
    if done.finish_reason != "stop" or not done.content:
        sys.exit(f"the answer is cut: {done.finish_reason}")
    print(done.content)


asyncio.run(main())
