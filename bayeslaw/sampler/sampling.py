"""Posterior draws by NUTS (nutpie), with chains in parallel."""

import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import nutpie
import xarray as xr
from threadpoolctl import threadpool_limits

from bayeslaw.base.processes import end_with
from bayeslaw.errors import SamplingError
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.spec.specification import Specification

__all__ = ["named", "sample"]

STATS = {
    "diverging": bool,
    "energy": float,
    "n_steps": int,
    "step_size": float,
    "mean_tree_accept": float,
    "depth": int,
}
"""Sampler statistics that are kept, with their types."""


class _NoValue(ArithmeticError):
    """The density is not finite; nutpie counts a divergence and continues."""

    is_recoverable = True


@threadpool_limits.wrap(limits=1, user_api="blas")  # the chains run in parallel instead
def sample(
    model: Specification,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float,
    cores: int,
    progress: bool,
) -> xr.DataTree:
    """Return posterior draws and sampler statistics, with the groups ``posterior`` and ``sample_stats``."""
    density = Density(model)
    frame = Frame.at_mode(density, estimate(model, regularised=True))

    def log_density(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = frame(q)
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            raise _NoValue
        return value, gradient

    compiled = nutpie.compiled_pyfunc.from_pyfunc(
        density.size,
        lambda: log_density,
        lambda *_: lambda q: {"q": q},
        [np.dtype("float64")],
        [(density.size,)],
        ["q"],
        make_initial_point_fn=lambda s: np.random.default_rng(s).uniform(-1, 1, density.size),
    )

    def chain(number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        sampler = nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
            target_accept=target_accept,
            progress_bar=progress and number == 0,
            save_warmup=False,
            blocking=False,
        )
        try:
            tree = sampler.wait()
        except BaseException:
            sampler.cancel()
            raise
        stats = tree["sample_stats"].dataset
        return tree["posterior"]["q"].values[0], {
            k: stats[k].values[0].astype(t) for k, t in STATS.items() if k in stats
        }

    parts = _in_processes(chain, np.array_split(np.arange(chains), min(cores, chains)))
    v = np.array([[frame.parameters(q) for q in part[0]] for part in parts])
    stats = {k: (("chain", "draw"), np.array([part[1][k] for part in parts])) for k in parts[0][1]}
    index = {"chain": np.arange(chains), "draw": np.arange(draws)}
    return xr.DataTree.from_dict(
        {"posterior": named(density, v, index), "sample_stats": xr.Dataset(stats, coords=index)}
    )


def named(density: Density, v: np.ndarray, index: dict[str, np.ndarray]) -> xr.Dataset:
    """Return vectors of parameters (last axis) as a labelled Dataset."""
    design, parameters = density.design, density.parameters
    labels = {"eval": design.evals, **design.groups, **design.over, **density.model.batch_coords}
    variables = {k: ((*index, *parameters[k].dims), x) for k, x in parameters.named(v).items()}
    data = xr.Dataset(variables, coords={**index, **labels})
    return data.drop_vars([d for d in labels if d not in data.dims])


def _in_processes(run: Callable[[int], Any], shares: list[np.ndarray]) -> list[Any]:
    """Run the chains in forked processes on Linux, where forking is safe; one after the other elsewhere."""
    if len(shares) == 1 or sys.platform != "linux":
        return [_attempt(run, int(number)) for share in shares for number in share]
    context, parent = multiprocessing.get_context("fork"), os.getpid()

    def work(share: np.ndarray, pipe: Any) -> None:
        end_with(parent)
        try:
            pipe.send([_attempt(run, int(number)) for number in share])
        except SamplingError as e:  # the parent raises it
            pipe.send(e)

    jobs: list[tuple[Any, Any]] = []
    results = []
    try:
        for share in shares:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(share, sender), daemon=True)
            process.start()
            sender.close()
            jobs.append((process, receiver))
        for process, receiver in jobs:
            while not receiver.poll(0.2):  # polls, so that an interrupt is noticed in between
                if not process.is_alive() and not receiver.poll():
                    raise EOFError
            results.append(receiver.recv())
            process.join()
    except EOFError:
        raise SamplingError("a sampling process was killed, perhaps for lack of memory: start again") from None
    except OSError as e:
        raise SamplingError(
            f"the processes of the chains cannot run ({e.strerror or e}): end other programs, or fit with cores=1"
        ) from None
    finally:
        for process, _ in jobs:
            process.terminate()
    for result in results:
        if isinstance(result, SamplingError):
            raise result
    return [part for share in results for part in share]


def _attempt(run: Callable[[int], Any], number: int) -> Any:
    """Run a chain; whatever goes wrong in it is a SamplingError."""
    try:
        return run(number)
    except Exception as e:
        raise SamplingError(
            f"chain {number + 1} ended early ({type(e).__name__}: {e}): see whether model.prior_predictive() gives "
            "losses, or try another seed"
        ) from e
