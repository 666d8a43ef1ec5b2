"""Files that are written whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayeslaw.base.numbers import short
from bayeslaw.errors import BayeslawError, StoreError

__all__ = ["check_writable", "replacing", "replacing_folder"]

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a disk, a file or a quota that takes no more."""


@contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success and is deleted on failure.

    Parameters
    ----------
    path : Path
        The file; of a symbolic link, the file that it leads to is replaced and the link stays.
    size : int
        Bytes that are about to be written.

    Raises
    ------
    StoreError
        The folder cannot be created or written, the disk is full, or `path` is no file. An OSError of the caller counts
        as one of writing: compute first, then write.
    """
    target = _target(path)
    with _beside(path, target, size) as folder:
        yield folder / target.name
        (folder / target.name).replace(target)


def check_writable(path: Path, size: int = 0) -> None:
    """Raise StoreError unless a file of that many bytes can be written there."""
    with _beside(path, _target(path), size):
        pass


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


def _target(path: Path) -> Path:
    """Return the file that a path leads to."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_dir():
        raise StoreError(f"{path} is a folder: give the name of a file")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise StoreError(f"{path} is a device, a pipe or a link to itself: give the name of a file")
    return target


@contextmanager
def _beside(path: Path, target: Path, size: int) -> Iterator[Path]:
    """Yield a temporary folder beside the target, after its disk was found to have that many bytes left."""
    folder = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=target.parent))
        disk = shutil.disk_usage(folder)
        if disk.total and disk.free < size:  # some network disks tell neither
            raise OSError(errno.ENOSPC, f"{short(size / 1e6)} MB are needed and {short(disk.free / 1e6)} MB are free")
        yield folder
    except OSError as e:
        if isinstance(e, BayeslawError):
            raise
        remedy = "choose a folder that exists or can be made, and can be written"
        if e.errno in FULL:
            remedy = "free some space, or choose another disk"
        raise StoreError(f"cannot write {path} ({e.strerror or e}): {remedy}") from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
