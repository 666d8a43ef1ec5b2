"""Posterior draws by NUTS (nutpie)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from bayeslaw.base.progress import bar, shows_bars, working
from bayeslaw.errors import SamplingError
from bayeslaw.sampler.compiled import FRAME, compile_ahead
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.sampler.nuts import compiled_model, nutpie, traces
from bayeslaw.spec.specification import Specification

__all__ = ["named", "sample"]

ACCEPTANCE, CAREFUL = 0.95, 0.99
"""Acceptance that the step size is adapted to, first, and then, where a few draws diverge."""

FEW = 0.02
"""Largest share of the draws that diverge for a second attempt."""

STATS = {
    "diverging": bool,
    "energy": float,
    "n_steps": int,
    "step_size": float,
    "mean_tree_accept": float,
    "depth": int,
}
"""Sampler statistics that are kept, with their types."""


@threadpool_limits.wrap(limits=1, user_api="blas")  # the chains run in parallel instead
def sample(
    model: Specification,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float | None,
    cores: int,
    progress: bool,
) -> xr.DataTree:
    """Return posterior draws and sampler statistics, with the groups ``posterior`` and ``sample_stats``.

    The attributes of the statistics hold the `target_accept` of the draws.
    """
    with working("compiling", show=progress):
        density = Density(model)
        compile_ahead(bool((density.parameters.parents["mu"] >= 0).any()), bool(model.processes))
        try:
            frame = Frame.at_mode(density, estimate(model, regularised=True))
        except np.linalg.LinAlgError as e:
            raise SamplingError(
                "the posterior has no finite curvature at its mode: add errors to losses that were simulated without "
                "any, or pool fewer coefficients"
            ) from e

        def start(seed: int | None) -> np.ndarray:
            return np.random.default_rng(seed).uniform(-1, 1, density.size)

        compiled = compiled_model(frame.tables[FRAME], density.size, start)
    settings: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": min(cores, chains),
        "seed": seed,
        "adaptation": "low_rank" if model.processes else "diag",  # weights of a misfit trade along ridges that turn
    }
    accepted = target_accept or ACCEPTANCE
    q, found = _drawn(compiled, progress=progress, target_accept=accepted, **settings)
    if target_accept is None and 0 < found["diverging"].mean() <= FEW:
        accepted = CAREFUL
        q, found = _drawn(compiled, progress=progress, how=" with smaller steps", target_accept=accepted, **settings)
    v = np.array([[frame.parameters(x) for x in chain] for chain in q])
    stats: dict[str, Any] = {k: (("chain", "draw"), found[k].astype(t)) for k, t in STATS.items() if k in found}
    index = {"chain": np.arange(chains), "draw": np.arange(draws)}
    return xr.DataTree.from_dict(
        {
            "posterior": named(density, v, index),
            "sample_stats": xr.Dataset(stats, coords=index, attrs={"target_accept": accepted}),
        }
    )


def _drawn(
    compiled: Any, *, progress: bool, how: str = "", **settings: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the draws and statistics of nutpie, beside a bar that says how they are drawn."""
    total = settings["chains"] * (settings["tune"] + settings["draws"])
    with bar(f"warm-up{how}", total, show=progress) as shown:

        def tell(of_chains: Sequence[Any]) -> None:
            warming = any(chain.tuning for chain in of_chains)
            shown.at(sum(chain.finished_draws for chain in of_chains), ("warm-up" if warming else "sampling") + how)

        own = progress and shows_bars()
        told = {"progress_bar": progress and not own, "progress_callback": tell if own else None}
        sampler = nutpie.sample(compiled, save_warmup=False, return_raw_trace=True, blocking=False, **told, **settings)
        try:
            return traces(sampler.wait())
        except Exception as e:
            reason = f"{type(e).__name__}: {e}".partition("\n")[0]
            raise SamplingError(
                f"a chain ended early ({reason}): see whether model.prior_predictive() gives losses, or try another "
                "seed"
            ) from e
        except BaseException:
            sampler.cancel()
            raise
        finally:
            del sampler  # and its threads: garbage with threads stops a forked process for ever


def named(density: Density, v: np.ndarray, index: dict[str, np.ndarray]) -> xr.Dataset:
    """Return vectors of parameters (last axis) as a labelled Dataset."""
    parameters = density.parameters
    labels = density.model.coords
    variables = {k: ((*index, *parameters[k].dims), x) for k, x in parameters.named(v).items()}
    data = xr.Dataset(variables, coords={**index, **labels})
    return data.drop_vars([d for d in labels if d not in data.dims])
