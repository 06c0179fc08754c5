"""A `map` as a process of its own, to be interrupted and killed: KIND CHECKPOINT COUNT; prints what it adds up to."""

import asyncio
import json
import sys

from phi_client import AsyncPhiClient, MapResult, PhiClient


def _print(result: MapResult[str]) -> None:
    answers = [None if item.completion is None else item.completion.content for item in result]
    restored = sum(item.is_restored for item in result)
    print(json.dumps({"answers": answers, "restored": restored, "failed": len(result.failed)}))


async def _main(prompts: list[str], checkpoint: str) -> None:
    async with AsyncPhiClient() as client:
        _print(await client.map(prompts, checkpoint=checkpoint))


if __name__ == "__main__":
    kind, checkpoint, count = sys.argv[1:]
    prompts = [f"number {number}" for number in range(int(count))]
    if kind == "async":
        asyncio.run(_main(prompts, checkpoint))
    else:
        with PhiClient() as client:
            _print(client.map(prompts, checkpoint=checkpoint))
