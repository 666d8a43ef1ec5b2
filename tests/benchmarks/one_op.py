"""The compiled density as one Op inside a PyMC model, beside the density by its address, as nutpie asks for both.

`python -m tests.benchmarks.one_op` prints microseconds per gradient, by time of the processor, and their ratio.
"""

import time
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.op import Op

from bayeslaw.sampler.compiled import FRAME, evaluate
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.sampler.nuts import compiled_model
from tests.benchmarks import readme, small_tables

MODELS = {"28 rows": small_tables.model, "the README's model": readme.model}
TURNS = 3


class LogDensity(Op):
    """The log density of a model in the frame, and its gradient."""

    itypes = [pt.dvector]
    otypes = [pt.dscalar, pt.dvector]

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        value, gradient = evaluate(inputs[0], self.table)
        output_storage[0][0], output_storage[1][0] = np.array(value), gradient

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        assert isinstance(cotangents[1].type, DisconnectedType)
        return [cotangents[0] * outputs[1]]


def with_one_op(table: np.ndarray, size: int) -> Any:
    """Return the density as a model of PyMC that nutpie has compiled."""
    with pm.Model() as model:
        q = pm.Flat("q", shape=size)
        pm.Potential("density", LogDensity(table).make_node(q).outputs[0])
    return nutpie.compile_pymc_model(model)


def microseconds(compiled: Any) -> float:
    """Return the time of the processor for a gradient while nutpie samples."""
    start = time.process_time()
    tree = nutpie.sample(compiled, draws=200, tune=200, chains=1, cores=1, seed=1, progress_bar=False)
    seconds = time.process_time() - start
    steps = sum(int(tree[group]["n_steps"].sum()) for group in ("sample_stats", "warmup_sample_stats"))
    return 1e6 * seconds / steps


def measure(name: str, model: Any) -> str:
    """Return the figures of a model, the median of turns."""
    density = Density(model)
    frame = Frame.at_mode(density, estimate(model, regularised=True))  # keeps what the table points to
    table = frame.tables[FRAME]

    def start(seed: int | None) -> np.ndarray:
        return np.random.default_rng(seed).uniform(-1, 1, density.size)

    ways = compiled_model(table, density.size, start), with_one_op(table, density.size)
    microseconds(ways[0])  # what is imported at the first result
    own, op = np.median([[microseconds(way) for way in ways] for _ in range(TURNS)], axis=0)
    return f"{name}: by its address {own:.1f} microseconds, as one Op {op:.1f}: {op / own:.1f} times"


if __name__ == "__main__":
    for name, made in MODELS.items():
        print(measure(name, made()), flush=True)
