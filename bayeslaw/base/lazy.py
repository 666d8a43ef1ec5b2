"""Names of a package that are imported when they are asked for (PEP 562), and modules that others import when used."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["lazy", "postponed"]


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


@contextmanager
def postponed(name: str) -> Iterator[None]:
    """Postpone the imports of a module in this block to the first use of one of its names, unless it is loaded."""
    if name in sys.modules:
        yield
        return
    stand_in = ModuleType(name)

    def leave() -> None:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]

    def get(attribute: str) -> Any:
        leave()
        return getattr(import_module(name), attribute)

    stand_in.__dict__["__getattr__"] = get
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        leave()
