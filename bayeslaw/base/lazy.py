"""Names of a package that are imported when they are asked for (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : str
        The name of the package. Its own modules need no home.
    homes : mapping of str to sequence of str
        Names by the module that they are in; a module without names is one itself, by the last part of its name.
    """
    of = {name: home for home, names in homes.items() for name in names or [home.rpartition(".")[2]]}

    def get(name: str) -> Any:
        here = sys.modules[package]
        own = f"{package}.{name}"
        if name not in of and (name.startswith("_") or find_spec(own) is None):
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=here)
        home = import_module(of.get(name, own))
        value = home if name not in homes.get(home.__name__, ()) else getattr(home, name)
        setattr(here, name, value)
        return value

    def names() -> list[str]:
        return list(sys.modules[package].__all__)

    return get, names
