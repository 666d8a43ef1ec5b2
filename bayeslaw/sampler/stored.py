"""Compiled functions that lie on disk and are called by their address.

What calls a function by its address does not contain it, so that each is compiled once, and only where a model
needs it.
"""

import hashlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from llvmlite import ir  # type: ignore[import-untyped]
from numba import cfunc, extending, njit, types
from numba.core import cgutils
from numba.core.caching import CacheImpl, _CacheLocator

from bayeslaw.base.files import check_writable
from bayeslaw.errors import StoreError
from bayeslaw.spec.shape import RISE

__all__ = [
    "ARGUMENTS",
    "PART",
    "address_of",
    "ahead",
    "call_law",
    "call_part",
    "compiled",
    "folder",
    "inner",
    "inner_sums",
    "kept",
    "pointer",
    "stored",
]

intrinsic: Any = extending.intrinsic

x64 = ir.IntType(64)

ARGUMENTS = 6

PART = types.float64(*(types.int64,) * ARGUMENTS)
"""The signature of a part of the density: addresses of arrays, the table first, those that it does not need 0."""

ROOM = 20_000_000
"""Bytes that compiled functions may take."""

_KEYS: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()
"""What functions that lie on disk depend on, as hashes."""


@cache
def folder() -> Path | None:
    """Return the folder of what is compiled; None, after a warning, where it cannot be written.

    It is below `NUMBA_CACHE_DIR`, by default below the user's own folder of caches.
    """
    home = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    place = Path(home) / "bayeslaw" / "compiled"
    try:
        check_writable(place / "function", ROOM)
    except StoreError:
        warnings.warn(
            f"{place} cannot be written, so that every process compiles anew, for 10 s or more: let NUMBA_CACHE_DIR "
            f"name a folder that can be written and has {ROOM / 1e6:.0f} MB left",
            stacklevel=2,
        )
        return None
    return place


class _Folder(_CacheLocator):
    """Tells Numba where a function lies: in the folder, under the hash of what it depends on."""

    def __init__(self, key: str) -> None:
        self._key = key

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_Folder | None":
        return cls(_KEYS[py_func]) if py_func in _KEYS else None

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> int:
        return 0

    def get_disambiguator(self) -> str:
        return self._key


CacheImpl._locator_classes.insert(0, _Folder)  # type: ignore[arg-type]


_AHEAD: dict[Any, subprocess.Popen[bytes]] = {}
"""Functions that another process compiles, or has compiled, with the process."""

COMPILE = """
import pickle, sys
from bayeslaw.sampler.stored import stored
functions, signature = pickle.loads(bytes.fromhex(sys.argv[1]))
for function in functions:
    stored(function, signature)
"""


def ahead(functions: Sequence[Any], signature: Any = PART) -> None:
    """Let another process compile those of some functions that do not lie on disk; `stored` waits for it."""
    if (place := folder()) is None or os.cpu_count() in (None, 1):
        return
    missing = [f for f in functions if f not in _AHEAD and not any(place.glob(f"*.{f.__name__}-{_version()}.*.nbi"))]
    if not missing:
        return
    with suppress(OSError):  # what is not compiled ahead is compiled by the process that asks for it
        process = subprocess.Popen(
            [sys.executable, "-c", COMPILE, pickle.dumps((missing, signature)).hex()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _AHEAD.update(dict.fromkeys(missing, process))


@cache
def stored(function: Any, signature: Any = PART) -> Any:
    """Return a compiled function; it is read from the disk unless a file of this folder has changed."""
    if function in _AHEAD:
        _AHEAD.pop(function).wait()
    return compiled(function, _version(), signature)


def compiled(function: Any, key: str, signature: Any) -> Any:
    """Return a function compiled for a signature; it is read from the disk if it lies there under a key."""
    _KEYS[function] = key
    return cfunc(signature, cache=folder() is not None, error_model="numpy")(function)


INNER: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

inner: Any = njit(**INNER)
"""Decorates functions that only compiled ones call."""

inner_sums: Any = njit(**INNER, fastmath={"reassoc", "contract"})
"""The same, for functions that may sum in any order."""


def kept(function: Any) -> Any:
    """Return a function that Python calls, compiled at its first call and kept on disk as others are (`stored`)."""
    _KEYS[function] = _version()
    return njit(cache=folder() is not None, nogil=True, error_model="numpy")(function)


@cache
def _version() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in files) + str(RISE).encode()).hexdigest()


@intrinsic
def pointer(typingctx: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def address_of(typingctx: Any, array: Any) -> Any:
    """Return the address of the numbers of an array that lives on: compiled code frees its own after the last use."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=args[0]).data
        return builder.ptrtoint(data, x64)

    return types.int64(array), codegen


def _addresses(context: Any, builder: Any, kinds: Any, args: Any) -> list[Any]:
    """Return the addresses of arrays, which live until the call has returned; an address stays what it is."""
    made = [
        context.make_array(kind)(context, builder, value=x).data if isinstance(kind, types.Array) else None
        for kind, x in zip(kinds, args, strict=True)
    ]
    return [x if data is None else builder.ptrtoint(data, x64) for x, data in zip(args, made, strict=True)]


@intrinsic
def call_law(typingctx: Any, law: Any, shape: Any, covariates: Any, coefficients: Any, out: Any) -> Any:
    """Call a law's compiled function (see `bayeslaw.sampler.kernels`) with its arrays or their addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = ir.FunctionType(ir.VoidType(), [x64] * 4)
        builder.call(
            builder.inttoptr(args[0], function.as_pointer()),
            _addresses(context, builder, signature.args[1:], args[1:]),
        )
        return context.get_dummy_value()

    return types.void(types.int64, shape, covariates, coefficients, out), codegen


@intrinsic
def call_part(typingctx: Any, part: Any, table: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Call a part of the density with the address of the table and arrays; 0 where it has none."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = ir.FunctionType(ir.DoubleType(), [x64] * ARGUMENTS)
        return builder.call(
            builder.inttoptr(args[0], function.as_pointer()),
            _addresses(context, builder, signature.args[1:], args[1:]),
        )

    whole = (x if isinstance(x, types.Array) else types.int64 for x in (a, b, c, d, e))
    return types.float64(types.int64, types.int64, *whole), codegen
