"""A process that is killed in the middle of a pull, an import or a removal, at any of its file operations."""

import subprocess
import sys
from pathlib import Path


def test_whenever_it_is_killed_a_whole_model_or_none_is_found_and_the_next_pull_ends_well(
    tmp_path: Path,
) -> None:
    script = Path(__file__).with_name("killed_everywhere.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50
