"""Files that are written whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayeslaw.errors import BayeslawError, StoreError

__all__ = ["replacing", "replacing_folder"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success and is deleted on failure.

    Raises
    ------
    StoreError
        The folder cannot be created or written, or `path` is a folder.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder: give the name of a file")
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=path.parent))
        yield folder / path.name
        (folder / path.name).replace(path)
    except OSError as e:
        if isinstance(e, BayeslawError):
            raise
        raise StoreError(
            f"cannot write {path} ({e.strerror or e}): choose a folder that exists or can be made, and can be written"
        ) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move to `target` on success; older figures (PNG) there are deleted."""
    folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=target.parent))
    try:
        yield folder
        target.mkdir(exist_ok=True)
        written = {file.name for file in folder.iterdir()}
        for file in folder.iterdir():
            file.replace(target / file.name)
        for file in target.glob("*.png"):
            if file.name not in written:
                file.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
