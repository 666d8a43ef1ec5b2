"""One simulation of a calibration: simulated losses, their posterior, and the ranks of the truth."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import arviz_stats
import numpy as np
import xarray as xr

from bayeslaw.base.intervals import levels
from bayeslaw.base.words import place
from bayeslaw.posterior import inference
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.prediction import at_rows, new_runs, part
from bayeslaw.spec.design import Design
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import Runs
from bayeslaw.validation.evaluation import convergence
from bayeslaw.validation.refits import labels

__all__ = ["RANKED_DRAWS", "RANKED_ROWS", "simulated", "simulation", "with_losses"]

RANKED_DRAWS = 99
"""Number of thinned, nearly independent posterior draws that a truth is ranked among."""

RANKED_ROWS = 4
"""Number of rows of the design whose losses are ranked, per validation set."""

TIES = 1
"""Stream of the numbers that break ties of a truth with its draws, as at the end of a law's values."""


def with_losses(runs: Runs, losses: np.ndarray) -> Runs:
    """Return runs with other losses (row, eval) where they were measured."""
    measured = np.where(runs.table[runs.loss_columns].notna(), losses, np.nan)
    return replace(runs, table=runs.table.assign(**dict(zip(runs.loss_columns, measured.T, strict=True))))


def simulation(
    label: str,
    blank: Specification,
    number: int,
    truth: xr.Dataset,
    prob: float,
    fitted_noise: Noise | None,
    also: Callable[[Any], xr.Dataset] | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Simulate, refit and rank, and return JSON data."""
    true = posterior_of(blank, xr.DataTree.from_dict({"posterior": truth}), {}, 0.0)
    losses = simulated(true, blank.design, np.random.default_rng([settings["seed"], number]))
    model = replace(blank, runs=with_losses(blank.runs, losses))
    own_seed = int(np.random.SeedSequence([settings["seed"], number]).generate_state(1)[0])
    fitted = model if fitted_noise is None else replace(model, noise=fitted_noise)
    fit = inference.fit(fitted, **{**settings, "seed": own_seed})
    found, expected = (_quantities(f, also) for f in (fit, replace(true, model=model)))
    if fitted_noise is not None:
        found, expected = (q.drop_vars("log_likelihood") for q in (found, expected))
        common = [name for name in expected.data_vars if name in found]
        found, expected = found[common], expected[common]
    rows, ties = [], np.random.default_rng([settings["seed"], number, TIES])
    for (name, kind, of_truth), (_, _, sampled) in zip(_flat(expected, model), _flat(found, model), strict=True):
        value = float(of_truth[0])
        thinned = sampled[np.linspace(0, len(sampled) - 1, RANKED_DRAWS).round().astype(int)]
        lower, upper = np.quantile(sampled, levels(prob))
        equal = int((thinned == value).sum())
        rank = int((thinned < value).sum() + (ties.integers(equal + 1) if equal else 0))
        rows.append({"quantity": name, "kind": kind, "true": value, "rank": rank, "lower": lower, "upper": upper})
    ess = min(float(v.min()) for v in arviz_stats.ess(found).data_vars.values())
    return {"fold": label, "rows": rows, "fit": {**convergence(fit), "ess": ess, "seconds": fit.seconds}}


def simulated(true: Posterior, design: Design, rng: np.random.Generator) -> np.ndarray:
    """Return losses (row, eval) of new runs of a truth, measured at the rows of the design."""
    new = true.noise.measured(new_runs(true, design, rng), design.rows, rng)
    result: np.ndarray = new.isel(chain=0, draw=0).transpose("row", "eval").values
    return result


def _quantities(fit: Posterior, also: Callable[[Any], xr.Dataset] | None) -> xr.Dataset:
    """Return the ranked quantities, with dims chain, draw and their own."""
    design = fit.model.design
    sampled = fit.posterior[[n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]]
    losses = at_rows(fit, _few(design))
    likelihood = log_likelihood(fit).sum("run")
    ranked = sampled.assign(loss=losses.drop_vars("row", errors="ignore"), log_likelihood=likelihood)
    return ranked if also is None else ranked.assign(also(fit).data_vars)


def _few(design: Design) -> Design:
    """Return the rows whose losses are ranked."""
    number = np.arange(design.rows.sizes["row"])
    return part(design, np.isin(number, np.linspace(0, number[-1], RANKED_ROWS).round()))


def _flat(quantities: xr.Dataset, model: Specification) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, kind and draws of every scalar quantity."""
    few = labels(_few(model.design))
    few["run"] = np.array([str(r).removeprefix("run ") for r in few["run"]])
    where = [place(dict(zip(few, row, strict=True))) for row in zip(*few.values(), strict=True)]
    kinds = dict.fromkeys(model.law.coefficients, "coefficient")
    kinds |= dict.fromkeys([*model.other_priors, "batch_effect_sigma"], "error")
    kinds |= {"loss": "loss", "log_likelihood": "likelihood"}
    for name, values in quantities.data_vars.items():
        of_population = str(name).removesuffix("_mu").removesuffix("_sigma") in model.by
        kind = kinds.get(str(name), "population" if of_population else "decision")
        dims = [d for d in values.dims if d not in ("chain", "draw")]
        stacked = values.transpose("chain", "draw", *dims)
        for at in np.ndindex(*(values.sizes[d] for d in dims)):
            label = [where[i] if d == "row" else str(values[d].values[i]) for d, i in zip(dims, at, strict=True)]
            yield f"{name}[{', '.join(label)}]" if label else str(name), kind, stacked.values[..., *at].ravel()
