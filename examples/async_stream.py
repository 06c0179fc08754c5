"""Three problems at once, each streamed: reasoning and answer arrive apart, and a tag never shows.

Run it against the emulator:    phi-emulator exec -- python examples/async_stream.py
"""

import asyncio

from phi_client import AsyncPhiClient

PROBLEMS = [
    "Solve 3x + 5 = 20.",
    "Mia has 12 boxes with 14 pens in each and gives away 30 pens. How many pens are left?",
    "Calculate (84 - 20) / 8.",
]


async def solve(client: AsyncPhiClient, problem: str) -> None:
    async with client.stream(problem, seed=1) as stream:
        async for chunk in stream:
            if chunk.content:
                print(f"[{problem[:12]}…] {chunk.content!r}")
    done = stream.completion
    steps = done.reasoning.count(".") + 1
    print(f"{problem}\n  after {steps} steps: {done.answer}  ({done.finish_reason})")


async def main() -> None:
    async with AsyncPhiClient() as client:
        await asyncio.gather(*(solve(client, problem) for problem in PROBLEMS))


asyncio.run(main())
