"""Prints the version that `pyproject.toml` names."""  # noqa: INP001 - a script

import tomllib
from pathlib import Path

print(
    tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
)
