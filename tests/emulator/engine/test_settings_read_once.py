"""A start reads each `genai_config.json` once: what one reader found is handed on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from phi_emulator.engine.machine.builds import has_engine_api

from tests.emulator.engine.conftest import NO_ENGINE
from tests.emulator.models.stock_models import write_stock_model

START = """
import json, sys
read = []
def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith("genai_config.json") and arguments[1] in ("r", "rb"):
        read.append(str(arguments[0]))
sys.addaudithook(note)
from phi_emulator import Emulator, EmulatorConfig
with Emulator(EmulatorConfig(port=0, model=sys.argv[1] or None, max_running=4)):
    print(json.dumps(read))
"""


def files_read(model: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", START, model], capture_output=True, text=True, check=True, timeout=120
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not has_engine_api(), reason=NO_ENGINE)
def test_each_file_is_read_once_at_a_start(tmp_path: Path) -> None:
    assert len(files_read("")) == 1
    folder = write_stock_model(tmp_path / "stock")
    for _ in range(2):  # the graph is prepared at the first start, and found again at the second
        own, prepared = files_read(str(folder))
        assert Path(own) == folder / "genai_config.json"
        assert Path(prepared).parent.parent.name == ".phi-emulator"
