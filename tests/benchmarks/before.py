"""The code before the log density was compiled as a whole, from the history of this repository."""

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from tests.benchmarks.results import ROOT

__all__ = ["COMMIT", "tree"]

COMMIT = "460b871"


@cache
def tree() -> Path | None:
    """Return the folder with the code of then, under build/; None, said so, where the history is not there."""
    folder = ROOT / "build/before" / COMMIT
    if not folder.is_dir():
        archive = ["git", "archive", COMMIT, "bayeslaw", "models"]
        found = subprocess.run(archive, cwd=ROOT, capture_output=True, check=False)
        if found.returncode:
            print(f"the commit {COMMIT} is not in the history, so the code before is left out")
            return None
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as files:
            files.extractall(folder, filter="data")
    return folder
