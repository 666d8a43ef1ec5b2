"""Every error a user can cause: one sentence that names the thing and the remedy."""

from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import get_close_matches
from numbers import Number

__all__ = [
    "ArgumentError",
    "BayeslawError",
    "Caution",
    "DataError",
    "LawError",
    "MissingExtra",
    "RangeError",
    "RefitError",
    "SamplingError",
    "StoreError",
    "UnknownName",
]

MOST_NAMES = 16
MOST_CHARACTERS = 80
"""Known names, and characters of a value, that an error shows."""


class BayeslawError(Exception):
    """Base of all errors of bayeslaw."""

    def __str__(self) -> str:
        return " ".join(str(a) for a in self.args)


class ArgumentError(BayeslawError, TypeError):
    """An argument of the wrong type."""


class DataError(BayeslawError, ValueError):
    """A table of runs that cannot be used as it is."""


class LawError(BayeslawError, TypeError):
    """A law whose declaration does not fit its function."""


class RangeError(BayeslawError, ValueError):
    """An argument outside the range in which there is an answer."""


class RefitError(BayeslawError, RuntimeError):
    """Refits that failed in the executor."""


class SamplingError(BayeslawError, RuntimeError):
    """Sampling that ended early."""


class StoreError(BayeslawError, OSError):
    """A file that cannot be read or written."""


class UnknownName(BayeslawError, KeyError):
    """A name that is not in the list it was looked up in."""


class MissingExtra(BayeslawError, ImportError):
    """A feature that needs an optional dependency."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(f"the package {package} is not installed: run pip install 'bayeslaw[{extra}]'")
        self.needs = extra, package

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        return MissingExtra, self.needs


class Caution(UserWarning):
    """A warning: a reason against an answer that cannot show it itself, such as a table."""


def shown(value: object) -> str:
    """Return a value as an error shows it: its repr if that is short, its type otherwise."""
    written = repr(value) if isinstance(value, str | bytes | Number | Sequence | Set | Mapping | None) else ""
    if "\n" not in written and 0 < len(written) <= MOST_CHARACTERS:
        return written
    package, name = type(value).__module__.split(".")[0], type(value).__name__
    if name in ("Model", "Fit") and package != "bayeslaw":
        name = f"{package}.{name}"
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


def unknown_name(
    kind: str, name: object, known: Iterable[object], meant: str | None = None, otherwise: str = ""
) -> UnknownName:
    """Return an error that lists the known names and suggests the one that is meant, the nearest, or otherwise."""
    names = [str(k) for k in known]
    close = [meant] if meant else get_close_matches(str(name), names, n=1, cutoff=0.5)
    remedy = f"did you mean {close[0]!r}?" if close else otherwise
    hint = f"; {remedy}" if remedy else ""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    listed = ", ".join(names[:MOST_NAMES]) + more
    return UnknownName(f"there is no {kind} {str(name)[:MOST_CHARACTERS]!r}{hint} (known: {listed or 'none'})")
