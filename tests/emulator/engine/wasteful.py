"""A process for `AskedProcess` that wastes what it is told to."""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Answer until the input ends."""
    kept: list[bytes] = []
    for line in sys.stdin:
        request = json.loads(line)
        match request["do"]:
            case "compute":
                while True:
                    pass
            case "fill":
                while True:
                    kept.append(bytes(bytearray(b"x" * 2**20)))
            case "wait":
                time.sleep(600)
        print(json.dumps({"id": request["id"], "result": request["do"]}), flush=True)


if __name__ == "__main__":
    main()
