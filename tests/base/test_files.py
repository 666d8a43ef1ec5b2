"""Files are written whole, through symbolic links, or not at all; a full disk is one sentence."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from bayeslaw.base.files import check_writable, replacing
from bayeslaw.errors import StoreError

Usage = namedtuple("Usage", "total used free")


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "fit.nc").write_text("old")
    (tmp_path / "fit.nc").symlink_to(Path("disk", "fit.nc"))
    (tmp_path / "again.nc").symlink_to("fit.nc")
    write(tmp_path / "again.nc")
    assert (tmp_path / "again.nc").is_symlink() and (tmp_path / "fit.nc").is_symlink()
    assert (tmp_path / "disk" / "fit.nc").read_text() == "new"
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["fit.nc"]


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "fit.nc").symlink_to(tmp_path / "new" / "fit.nc")
    write(tmp_path / "fit.nc")
    assert (tmp_path / "fit.nc").is_symlink() and (tmp_path / "new" / "fit.nc").read_text() == "new"


@pytest.mark.parametrize("kind", ["device", "pipe", "loop", "link to a folder", "folder"])
def test_what_is_no_file_is_never_replaced(kind, tmp_path):
    path = tmp_path / "out"
    match kind:
        case "device":
            path.symlink_to("/dev/null")
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "folder":
            path.mkdir()
        case _:
            (tmp_path / "folder").mkdir()
            path.symlink_to("folder")
    for attempt in (write, check_writable):
        with pytest.raises(StoreError, match="out is a .*: give the name of a file"):
            attempt(path)
    assert Path("/dev/null").is_char_device() and not path.is_file()


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 999_000_000, 1_000_000))
    sentence = r"cannot write .*out.nc \(2.5 MB are needed and 1 MB are free\): free some space, or choose another disk"
    with pytest.raises(StoreError, match=sentence), replacing(tmp_path / "out.nc", 2_500_000):
        pytest.fail("it was written")
    with pytest.raises(StoreError, match=sentence):
        check_writable(tmp_path / "out.nc", 2_500_000)
    check_writable(tmp_path / "out.nc", 900_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))  # a network disk that does not tell
    check_writable(tmp_path / "out.nc", 2_500_000)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_while_it_is_written_leaves_what_was_there(tmp_path):
    write(tmp_path / "out", "old")
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        full = pytest.raises(StoreError, match="free some space, or choose another disk")
        with full as caught, replacing(tmp_path / "out") as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))
        assert isinstance(caught.value, OSError) and os.strerror(number) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (tmp_path / "out").read_text() == "old"


def test_an_error_that_is_none_of_writing_is_passed_on(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "out"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())
