"""The files for CI services, with their schemas: the repository's, and those that docs/how-to/test-in-ci.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

__all__ = ["CiFile", "ci_files", "shell_steps"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/how-to/test-in-ci.md"
BLOCK = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCHEMAS = {
    "action.yml": "vendor.github-actions",
    "azure-pipelines.yml": "vendor.azure-pipelines",
    "compose.yaml": "vendor.compose-spec",
    ".gitlab-ci.yml": "vendor.gitlab-ci",
}
A_WORKFLOW = "vendor.github-workflows"


class CiFile(NamedTuple):
    """One of them."""

    name: str
    """Where it is, or would be in a user's repository; a number tells those of one name apart."""
    schema: str
    """Of check-jsonschema."""
    text: str

    @property
    def document(self) -> Any:
        """What it says. YAML 1.1 reads the word `on` as true, which no one here asks for."""
        return yaml.safe_load(self.text)


def ci_files() -> list[CiFile]:
    """All of them."""
    paths = [
        *ROOT.glob(".github/*/*.yml"),
        *ROOT.glob(".github/*/*/*.yml"),
        *ROOT.glob("examples/docker/*.yaml"),
    ]
    stored = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in sorted(paths)]
    shown = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    found = [*stored, *((f"{name}, {number}", text) for number, (name, text) in enumerate(shown))]
    return [
        CiFile(name, SCHEMAS.get(Path(name.partition(",")[0]).name, A_WORKFLOW), text) for name, text in found
    ]


def shell_steps(file: CiFile) -> list[str]:
    """What a service would have a shell run, job after job."""
    document = file.document
    if file.schema == "vendor.gitlab-ci":
        return ["\n".join(job["script"]) for job in document.values()]
    if file.schema == "vendor.azure-pipelines":
        return [step["script"] for step in document["steps"] if "script" in step]
    steps = (
        document["runs"]["steps"]
        if "runs" in document
        else [step for job in document["jobs"].values() for step in job["steps"]]
    )
    return [step["run"] for step in steps if "run" in step]
