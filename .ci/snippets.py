"""Runs the steps of the action, of GitLab's job and of Azure Pipelines with a wheel that is not on the index.

The arguments are a folder for files of its own, and the wheel's folder, which pip finds beside the index.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from ci_files import ROOT, CiFile, ci_files, shell_steps

WORK, WHEELS = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
A_TEST = """
from phi_client import PhiClient

def test_an_answer():
    with PhiClient() as client:
        assert client.complete("What is 17 * 24?", temperature=0).answer == "408"
"""
# As GitHub runs `shell: bash`; the others stop at the first failure too.
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
EXPRESSION = re.compile(r"\$\{\{ (\w+)\.(\w+) \}\}")


def environment(name: str) -> tuple[Path, dict[str, str]]:
    """A project with one test, and the variables of a shell whose Python is a new one."""
    folder = WORK / re.sub(r"\W+", "-", name)
    (folder / "tests").mkdir(parents=True)
    (folder / "tests/test_answer.py").write_text(A_TEST, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PHI_", "PYTHON", "VIRTUAL_ENV"))
    }
    path = f"{folder / 'venv/bin'}{os.pathsep}{kept['PATH']}"
    return folder, kept | {"PATH": path, "PIP_FIND_LINKS": str(WHEELS), "PIP_QUIET": "1"}


def run(script: str, folder: Path, variables: dict[str, str]) -> str:
    """What a step says; it must succeed."""
    done = subprocess.run(
        [*BASH, script], cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_pipeline(file: CiFile) -> None:
    """All steps of a pipeline that starts the emulator itself."""
    folder, variables = environment(file.name)
    said = "".join(run(script, folder, variables) for script in shell_steps(file))
    assert "1 passed" in said, said
    assert 'failures="0"' in (folder / "report.xml").read_text(encoding="utf-8")


def run_action(file: CiFile, port: str) -> None:
    """The action's steps as a runner does, and then a test, as a step that follows would."""
    folder, variables = environment(file.name)
    given = {name: one.get("default", "") for name, one in file.document["inputs"].items()}
    given |= {"port": port, "arguments": "--log-level warning"}
    contexts = {
        "inputs": given,
        "github": {"action_path": str(ROOT / ".github/actions/phi-emulator")},
        "runner": {"temp": str(folder)},
    }
    files = {name: folder / name.lower() for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for path in files.values():
        path.touch()
    variables |= {name: str(path) for name, path in files.items()}
    try:
        for step in file.document["runs"]["steps"]:
            filled = {
                name: EXPRESSION.sub(lambda found: contexts[found[1]][found[2]], value)
                for name, value in step["env"].items()
            }
            run(step["run"], folder, variables | filled)
        outputs, exported = (
            dict(line.split("=", 1) for line in files[name].read_text(encoding="utf-8").splitlines())
            for name in ("GITHUB_OUTPUT", "GITHUB_ENV")
        )
        assert set(outputs) == set(file.document["outputs"]), outputs
        del variables["GITHUB_OUTPUT"]
        run("python -m pip install phi-client pytest", folder, variables)
        assert "1 passed" in run("python -m pytest", folder, variables | exported)
    finally:
        # A runner ends what is left over at the end of a job.
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(folder / "phi-emulator").encode() in command[0] and b"serve" in command:
                os.kill(int(process.name), signal.SIGTERM)


for file in ci_files():
    if file.schema in ("vendor.gitlab-ci", "vendor.azure-pipelines") and "phi-emulator exec" in file.text:
        run_pipeline(file)
    elif file.schema == "vendor.github-actions":
        run_action(file, "26181")
    else:
        continue
    print(f"ok  {file.name}", flush=True)
