"""The same on Ray Data, for when one process is not enough. Here it is a small Ray on this machine.

pip install "ray[data]"
Run it against the emulator:    phi-emulator exec -- python examples/05_batch_on_ray.py
"""

from typing import Any

import ray

from phi_client import PhiClient

ROWS = [{"number": number, "problem": f"What is {number} * 12?"} for number in range(64)]


class Solve:
    """An actor with a client of its own; each batch is a `map`."""

    def __init__(self) -> None:
        self.client = PhiClient()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = self.client.map(batch["problem"].tolist(), concurrency=8, progress=False, seed=1)
        batch["answer"] = [item.completion.answer if item.completion else None for item in result]
        return batch


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
actors = ray.data.ActorPoolStrategy(size=1)  # the client's `map` asks for several at once in each
answers = ray.data.from_items(ROWS).map_batches(Solve, compute=actors, batch_size=16).take_all()
ray.shutdown()

right = sum(row["answer"] == str(row["number"] * 12) for row in answers)
print(f"right: {right} of {len(answers)}")
