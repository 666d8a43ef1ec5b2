"""Draws from a model's posterior by NUTS (nutpie), in straight coordinates and with chains in parallel."""

import math
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import nutpie
import xarray as xr

from bayeslaw.density import Density
from bayeslaw.frame import Frame
from bayeslaw.least_squares import estimate
from bayeslaw.model import Model

__all__ = ["sample"]

STATS = {
    "diverging": bool,
    "energy": float,
    "n_steps": int,
    "step_size": float,
    "mean_tree_accept": float,
    "depth": int,
}


class _NoValue(ArithmeticError):
    """The density has no value here; nutpie counts it as a divergence and goes on."""

    is_recoverable = True


def sample(
    model: Model, *, draws: int, tune: int, chains: int, seed: int, target_accept: float, cores: int, progress: bool
) -> xr.DataTree:
    """Return posterior draws and sampler statistics, with the groups ``posterior`` and ``sample_stats``."""
    density = Density(model)
    frame = Frame.at_mode(density, estimate(model, regularised=True))

    def log_density(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = frame(q)
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            raise _NoValue
        return value, gradient

    def run(share: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        number, how_many = share
        compiled = nutpie.compiled_pyfunc.from_pyfunc(
            density.size,
            lambda: log_density,
            lambda *_: lambda q: {"q": q},
            [np.dtype("float64")],
            [(density.size,)],
            ["q"],
            make_initial_point_fn=lambda s: np.random.default_rng(s).uniform(-1, 1, density.size),
        )
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        tree = nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=how_many,
            cores=1,
            seed=own_seed,
            target_accept=target_accept,
            progress_bar=progress and number == 0,
            save_warmup=False,
        )
        stats = tree["sample_stats"].dataset
        return tree["posterior"]["q"].values, {k: stats[k].values.astype(t) for k, t in STATS.items() if k in stats}

    shares = [(i, len(part)) for i, part in enumerate(np.array_split(np.arange(chains), min(cores, chains)))]
    parts = _in_processes(run, shares)
    q = np.concatenate([p[0] for p in parts])
    v = np.array([[frame.parameters(x) for x in chain] for chain in q])
    stats = {k: (("chain", "draw"), np.concatenate([p[1][k] for p in parts])) for k in parts[0][1]}
    index = {"chain": np.arange(chains), "draw": np.arange(draws)}
    return xr.DataTree.from_dict(
        {"posterior": named(density, v, index), "sample_stats": xr.Dataset(stats, coords=index)}
    )


def named(density: Density, v: np.ndarray, index: dict[str, np.ndarray]) -> xr.Dataset:
    """Return vectors of parameters (last axis) as a labelled Dataset, coefficients in the paper's units included."""
    labels = {"eval": density.design.evals, **density.design.groups, **density.design.over}
    dims = {name: (*index, *block.dims) for name, block in density.parameters.items()}
    data = xr.Dataset({k: (dims[k], x) for k, x in density.parameters.named(v).items()}, coords={**index, **labels})
    return data.drop_vars([d for d in labels if d not in data.dims])


def _in_processes(run: Callable[[Any], Any], shares: list[tuple[int, int]]) -> list[Any]:
    """Run the chains in forked processes, where the system has them: Python threads would take turns."""
    if len(shares) == 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [run(share) for share in shares]
    context = multiprocessing.get_context("fork")

    def work(share: tuple[int, int], pipe: Any) -> None:
        try:
            pipe.send(run(share))
        except BaseException as e:  # the parent raises it
            pipe.send(RuntimeError(f"sampling failed: {type(e).__name__}: {e}"))

    jobs = []
    for share in shares:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(share, sender), daemon=True)
        process.start()
        sender.close()
        jobs.append((process, receiver))
    results = []
    try:
        for process, receiver in jobs:
            results.append(receiver.recv())
            process.join()
    finally:
        for process, _ in jobs:
            process.terminate()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
