"""Many problems at once, with a checkpoint: interrupt it with Ctrl-C, start it again, and it goes on.

Run it against the emulator:    phi-emulator exec -- python examples/04_batch.py answers.jsonl
"""

import sys

from phi_client import PhiClient, Price

PROBLEMS = [f"What is {number} * 12?" for number in range(100)]

with PhiClient() as client:
    result = client.map(
        PROBLEMS,
        checkpoint=sys.argv[1] if len(sys.argv) > 1 else None,
        prices=Price(prompt=0.075, completion=0.3),  # made up: for a million tokens, in any currency
        seed=1,
    )

right = sum(
    item.completion is not None and item.completion.answer == str(item.position * 12) for item in result
)
print(f"right: {right} of {len(result)}")
print(f"restored: {sum(item.is_restored for item in result)}, failed: {len(result.failed)}")
print(f"retries: {result.retries}, tokens: {result.usage.total_tokens if result.usage else 'not told'}")
print(f"cost: {result.cost:.6f}" if result.cost is not None else "cost: not known")
