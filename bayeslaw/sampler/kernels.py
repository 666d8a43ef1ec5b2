"""A law and its partial derivatives as one compiled function over blocks of points crossed with levels.

The source of the function (`bayeslaw.sampler.sources`) and what Numba compiles of it both lie on disk: PyTensor, which
traces the law, is imported for laws that are new on this machine.
"""

import hashlib
import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numba import carray, types

from bayeslaw.base.files import replacing
from bayeslaw.declare.laws import Law
from bayeslaw.errors import StoreError
from bayeslaw.sampler import elementary
from bayeslaw.sampler.formulas import formula_of
from bayeslaw.sampler.stored import compiled, folder

__all__ = ["kernel"]

NUMBERS = types.CPointer(types.float64)
SIGNATURE = types.void(types.CPointer(types.int64), NUMBERS, NUMBERS, NUMBERS)

_COMPILED: dict[tuple[Callable[..., Any], int, bool], Any] = {}


def kernel(law: Law, over: int = 0, derivatives: bool = True) -> int:
    """Return the address of a compiled function that fills in a law's loss and its derivatives on a block.

    Its arguments are pointers: the numbers of points and of the levels of every covariate; the covariates (level,
    point), one after the other; the coefficients (coefficient, point); and the array to fill, (1 + coefficient, point,
    level of the first covariate, ...), the loss in nats first, then its derivatives in the coefficients, in the order
    of the card. A covariate or coefficient with a dim of its own has one entry for each of the `over` labels.

    Without `derivatives` the covariates are the same at all points (level), and the array has the loss alone (level of
    the first covariate, ..., point).

    Raises
    ------
    LawError
        The law uses an operation that cannot be compiled.
    """
    if (law.function, over, derivatives) not in _COMPILED:
        source = _source(law, over, derivatives)
        key = _hash(__name__, source, inspect.getsource(elementary))
        name = f"law_{key}"  # compiled functions of one name would be taken for each other
        scope = {"__name__": __name__, "carray": carray, "math": math, "np": np}
        scope |= {"exp": elementary.exp, "log": elementary.log}
        exec(source.replace("law_on_block", name, 1), scope)
        _COMPILED[law.function, over, derivatives] = compiled(scope[name], key, SIGNATURE)
    address: int = _COMPILED[law.function, over, derivatives].address
    return address


def _source(law: Law, over: int, derivatives: bool) -> str:
    """Return the source of a kernel as it lies on disk under what the law computes; if it does not, write it."""
    place, formula = folder(), formula_of(law, over)
    if place is None or formula is None:
        return _new_source(law, over, derivatives)
    here = Path(__file__).with_name("sources.py").read_text()
    file = place / f"law_{_hash(here, version('pytensor'), formula, str(derivatives))}.py"
    if file.is_file():
        return file.read_text()
    source = _new_source(law, over, derivatives)
    with suppress(StoreError), replacing(file) as part:
        part.write_text(source)
    return source


def _new_source(law: Law, over: int, derivatives: bool) -> str:
    from bayeslaw.sampler.sources import source_of

    return source_of(law, over, derivatives)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
