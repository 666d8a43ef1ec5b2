"""nutpie on the compiled density: its threads call the density by its address, without Python.

nutpie takes addresses only from its own compiled PyMC graphs (``nutpie.compile_pymc.CompiledPyMCModel``). This file
fills in such a model, and is the only one that knows its fields; where another version of nutpie has other ones, the
threads call the density through Python, which is slower.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from bayeslaw.base.lazy import postponed
from bayeslaw.sampler.compiled import SIGNATURE, address, evaluate
from bayeslaw.sampler.stored import stored
from bayeslaw.sampler.table import number_at

with postponed("arviz"):  # and with it what draws figures: for results that `traces` reads by itself
    import nutpie.compile_pymc
    import nutpie.compiled_pyfunc

__all__ = ["compiled_model", "traces"]


@dataclass(frozen=True)
class _At:
    """What nutpie asks of a compiled function: its address."""

    address: int


class _NoValue(ArithmeticError):
    """The density is not finite; nutpie counts a divergence and continues."""

    is_recoverable = True


def compiled_model(table: np.ndarray, size: int, start: Callable[[int | None], np.ndarray]) -> Any:
    """Return a model for ``nutpie.sample`` with one variable ``q``.

    Parameters
    ----------
    table : array
        The table of the density (`bayeslaw.sampler.table.Tables`), which the model keeps.
    size : int
        Number of parameters.
    start : callable
        Returns a first point for a seed.
    """
    try:
        return nutpie.compile_pymc.CompiledPyMCModel(
            dims={},
            compiled_logp_func=_At(address()),
            compiled_expand_func=_At(stored(_copy, SIGNATURE).address),
            initial_point_func=start,
            shared_data={},
            shared_var_keys={},
            user_data=table,
            n_expanded=size,
            shape_info=(["q"], [slice(0, size)], [(size,)]),
            logp_func=None,
            expand_func=None,
            reparameterized_names=[],
            _n_dim=size,
            _shapes={"q": (size,)},
            _coords={},
        )
    except (AttributeError, TypeError):
        return _through_python(table, size, start)


def traces(results: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return draws (chain, draw, parameter) and statistics (chain, draw) of nutpie's raw results, without warm-up."""
    draws, stats = results.get_arrow_trace()
    after = [~_column(of, "tuning") for of in stats]
    q = [_column(of, "q").reshape(of.num_rows, -1)[own] for of, own in zip(draws, after, strict=True)]
    numbers = [name for name in stats[0].column_names if not pyarrow.types.is_nested(_array(stats[0], name).type)]
    found = {k: np.array([_column(of, k)[own] for of, own in zip(stats, after, strict=True)]) for k in numbers}
    return np.array(q), found


def _array(batch: Any, name: str) -> Any:
    return pyarrow.array(batch.column(name))


def _column(batch: Any, name: str) -> np.ndarray:
    column = _array(batch, name)
    values: np.ndarray = (column.flatten() if pyarrow.types.is_nested(column.type) else column).to_numpy(False)
    return values


def _copy(size, expanded, draw_address, kept_address, table_address):  # type: ignore[no-untyped-def]
    """Keep a draw as it is."""
    draw, kept = number_at(draw_address, size), number_at(kept_address, size)
    for i in range(size):
        kept[i] = draw[i]
    return 0


def _through_python(table: np.ndarray, size: int, start: Callable[[int | None], np.ndarray]) -> Any:
    def log_density(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = evaluate(q, table)
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            raise _NoValue
        return value, gradient

    return nutpie.compiled_pyfunc.from_pyfunc(
        size,
        lambda: log_density,
        lambda *_: lambda q: {"q": q},
        [np.dtype("float64")],
        [(size,)],
        ["q"],
        make_initial_point_fn=start,
    )
