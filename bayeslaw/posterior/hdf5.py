"""What an HDF5 file may hold to be read as a fit: files of unknown origin are safe to load.

HDF5 can name other files of the machine as the place of its data, lead in circles, and promise more data than it has.
"""

import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

__all__ = ["fault", "json_of"]

MOST_GROUPS = 32
MOST_ARRAYS = 10_000
MOST_ATTRIBUTES = 64
"""Of the file, of a group, or of an array."""

MOST_TEXTS = 64
"""Texts in an attribute; texts of an array that are read at a time."""

MOST_EXPANSION = 10
"""Bytes of data for a byte of the file."""

LONGEST_JSON = 50_000_000
"""Characters."""

DEEPEST_JSON = 20
"""Lists and mappings within each other."""


def fault(file: h5py.File) -> str | None:
    """Return what a file holds that a fit does not, or None.

    A fit is a few groups of arrays, all stored in the file itself. Texts are the only data that are read, after
    everything else was found in order.
    """
    return next(_faults(file), None)


def json_of(text: str) -> Any:
    """Return the data of a JSON text.

    Raises
    ------
    ValueError
        It is no JSON, or longer or deeper than that of a fit.
    """
    if len(text) > LONGEST_JSON:
        raise ValueError(f"JSON of {len(text)} characters")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON of too many levels") from None
    level = [value]
    for _ in range(DEEPEST_JSON):
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
    if level:
        raise ValueError("JSON of too many levels")
    return value


def _faults(file: h5py.File) -> Iterator[str]:
    yield from _links(file)
    members = list(file.values())
    arrays = [m for m in members if isinstance(m, h5py.Dataset)]
    groups = [m for m in members if isinstance(m, h5py.Group)]
    if len(groups) > MOST_GROUPS:
        yield f"{len(groups)} groups, more than {MOST_GROUPS}"
    for group in groups:
        yield from _links(group)
        within = list(group.values())
        if not all(isinstance(m, h5py.Dataset) for m in within):
            yield f"a group within the group {group.name[:80]!r}"
        arrays += within
        if len(arrays) > MOST_ARRAYS:
            yield f"more than {MOST_ARRAYS} arrays"
    for thing in (file, *groups, *arrays):
        yield from _attributes(thing)
    allowed = MOST_EXPANSION * file.id.get_filesize()
    for array in arrays:
        how = array.id.get_create_plist()
        if how.get_external_count() or how.get_layout() == h5py.h5d.VIRTUAL:
            yield f"an array that lies in other files, {array.name[:80]!r}"
        allowed -= array.dtype.itemsize * max(array.size or 0, int(np.prod(array.chunks or 0, dtype=float)))
        if allowed < 0:
            yield f"arrays of more than {MOST_EXPANSION} times its size"
    for array in arrays:
        if h5py.check_string_dtype(array.dtype) is None or not array.shape:
            continue
        for start in range(0, len(array), MOST_TEXTS):  # every element may be the same long text
            allowed -= sum(map(len, array[start : start + MOST_TEXTS].ravel()))
            if allowed < 0:
                yield f"texts of more than {MOST_EXPANSION} times its size"


def _links(group: h5py.Group) -> Iterator[str]:
    if len(group) > MOST_ARRAYS:
        yield f"more than {MOST_ARRAYS} arrays"
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield f"a link to another place, {name[:80]!r}"


def _attributes(thing: h5py.File | h5py.Group | h5py.Dataset) -> Iterator[str]:
    if len(thing.attrs) > MOST_ATTRIBUTES:
        yield f"more than {MOST_ATTRIBUTES} attributes of {thing.name[:80]!r}"
    for name in thing.attrs:
        attribute = thing.attrs.get_id(name)
        if np.prod(attribute.shape or 0, dtype=float) > (MOST_TEXTS if attribute.dtype.kind == "O" else MOST_ARRAYS):
            yield f"too many values in the attribute {name[:80]!r}"
