"""The catalogue: one published law per file. Adding a law is adding a file."""

if __name__ == "models":
    raise ImportError("import bayeslaw.models instead of models: a second copy of the laws would not be the engine's")

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from bayeslaw.declare.laws import Law
from bayeslaw.errors import UnknownName, unknown_name


class UnknownLaw(UnknownName, AttributeError):
    """A law that is not in the catalogue."""


def _laws() -> dict[str, Law]:
    modules = (import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__))
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Law))
    return {law.name: law for law in found}


catalogue: dict[str, Law] = _laws()
globals().update(catalogue)

FEW = 3
"""Laws that a sentence recommends."""


def such_as(holds: Callable[[Law], bool], first: Callable[[Law], float] = lambda law: 0.0) -> str:
    """Return the names of a few laws of which something holds, for a sentence that recommends one; `first` is small."""
    return ", ".join(
        sorted([name for name, law in catalogue.items() if holds(law)], key=lambda n: first(catalogue[n]))[:FEW]
    )


def __getattr__(name: str) -> Law:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UnknownLaw(*unknown_name("law", name, catalogue).args)
