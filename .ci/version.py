"""Prints the version that `pyproject.toml` names."""

import tomllib
from pathlib import Path

print(
    tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
)
