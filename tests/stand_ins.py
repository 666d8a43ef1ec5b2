"""A fit of any law of the catalogue without sampling: simulated losses, and draws close to the truth behind them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.declare.laws import Law
from bayeslaw.workflow import Fit

__all__ = ["second_stage", "stand_in"]

PEAK = 2e-4
STEPS = 4000
PLANS = {
    "flat": schedules.constant(STEPS, PEAK, warmup=100),
    "fall": schedules.linear(STEPS, PEAK, warmup=100),
    "wave": schedules.cosine(STEPS, PEAK, warmup=100),
}
NOISE = 0.004


def middle(prior: Any) -> float:
    """Return the middle of a prior of a coefficient."""
    p = prior.parameters
    if prior.distribution == "Beta":
        return float(p["alpha"] / (p["alpha"] + p["beta"]))
    return float(np.exp(p["mu"]) if prior.distribution == "LogNormal" else p["mu"])


def with_features(law: Law, table: pd.DataFrame) -> pd.DataFrame:
    """Give every label one value of each of its features, and continual pre-training a loss before it."""
    features = {name: cov.of for name, cov in law.covariates.items() if cov.of}
    for number, (name, of) in enumerate(features.items()):
        labels = {label: 1.5 + 0.5 * k - 0.4 * number for k, label in enumerate(table[of].unique())}
        table[name] = table[of].map(labels)
    table = table[~table[[*law.columns, "domain"]].duplicated()] if features else table
    if not {"D", "domain_share"} <= set(law.columns):
        return table
    start = table.drop_duplicates([c for c in ("N", "domain") if c in table]).assign(D=0.0, domain_share=0.0)
    return pd.concat([start, table], ignore_index=True)


def curve_runs(law: Law) -> bl.Runs:
    """Training curves under three schedules (and of two sizes or shares, where the law knows them), losses to come."""
    kinds: list[dict[str, float]] = [{}]
    for column, values in (("N", (2e7, 1e8)), ("domain_share", (0.2, 0.6))):
        if column in law.columns:
            kinds = [kind | {column: value} for kind in kinds for value in values]
    step, parts, plans = np.unique(np.geomspace(300, STEPS, 12).astype(int)), [], {}
    for number, kind in enumerate(kinds):
        for name, plan in PLANS.items():
            run = f"{name} {number}"
            plans[run] = plan
            parts.append(pd.DataFrame({"run": run, "step": step, "general_loss": 3.0, "domain_loss": 3.0, **kind}))
    before = None
    if "S1cpt" in law.columns:
        known = "S1" in law.columns
        before = schedules.constant(8000, PEAK, warmup=100) if known else schedules.unknown()
    return bl.read_curves(pd.concat(parts), schedule=plans, before=before)


def stand_in(
    law: Law, table_for: Callable[..., pd.DataFrame], draws: int = 120, sources: int = 3, **settings: Any
) -> Fit:
    """Return a fit of simulated runs whose draws scatter by 2 % around the parameters they were simulated with."""
    rng = np.random.default_rng(0)
    runs = (
        curve_runs(law) if law.kind == "schedule" else bl.read_runs(with_features(law, table_for(law, sources=sources)))
    )
    model = bl.Model(law, runs, monotone=None, **settings, misfit=None)
    coords: dict[str, Any] = {"chain": np.arange(2), "draw": np.arange(draws), "eval": model.design.evals}
    posterior = xr.Dataset(coords=coords)
    for number, (name, coefficient) in enumerate(law.coefficients.items()):
        labels = {k: v for k, v in model.design.over.items() if k == coefficient.over}
        groups = {k: v for k, v in model.design.groups.items() if k == model.by.get(name)}
        every: dict[str, Any] = {**coords, **labels, **groups}
        if coefficient.role:
            del every["eval"]
        own = np.random.default_rng(number).normal(0, 0.3, [len(v) for v in list(every.values())[2:]])
        spread = own + 0.02 * rng.standard_normal([len(v) for v in every.values()])
        value = middle(coefficient.prior)
        values = value * np.exp(spread) if coefficient.prior.distribution == "LogNormal" else value + spread
        posterior[name] = xr.DataArray(values, every)
    shared = {"run_weight": 0.3, "correlation_length": 0.5, "eval_correlation": 0.2, "sigma": NOISE}
    for name in model.noise.priors(len(model.design.evals)):
        over = coords if name == "sigma" else {k: coords[k] for k in ("chain", "draw")}
        spread = 0.02 * rng.standard_normal([len(v) for v in over.values()])
        posterior[name] = xr.DataArray(shared[name] * np.exp(spread), over)
    fit = Fit(model, xr.DataTree.from_dict({"posterior": posterior}), {"method": "stand-in", "seed": 0}, 1.0)
    rows = model.design.rows
    truth = fit.loss(rows[list(dict.fromkeys([*law.columns, *model.design.groups]))]).mean(["chain", "draw"])
    losses = (truth * np.exp(NOISE * rng.standard_normal(truth.shape))).transpose("row", "eval")
    table = runs.sorted_along(law.path).table
    for e in model.design.evals:
        table[f"{e}_loss"] = losses.sel(eval=e).values
    possible = (table[[f"{e}_loss" for e in runs.evals]] > 0.1).all(axis="columns")
    simulated = replace(runs, table=table[possible].reset_index(drop=True))
    return Fit(bl.Model(law, simulated, monotone=None, **settings, misfit=None), fit.idata, fit.settings, 1.0)


def second_stage(draws: int = 60, **settings: Any) -> Fit:
    """Return a fit from loss to score of two benchmarks without sampling: draws close to m 2.6 and 3, k 10 and 5."""
    rng, loss = np.random.default_rng(0), np.repeat(np.linspace(2.0, 4.0, 11), 2)
    truth = {"quiz": (2.6, 10.0, 0.25), "task": (3.0, 5.0, 0.0)}
    table = pd.DataFrame({"run": [f"run {i}" for i in range(len(loss))], "loss": loss})
    for name, (m, k, chance) in truth.items():
        rate = models.loss_to_score(loss, chance, m=m, k=k, c=0.97)
        table[f"{name}_score"] = 1 - rate * np.exp(NOISE * rng.standard_normal(len(loss)))
    runs = bl.read_scores(table, against="loss", chance={name: chance for name, (_, _, chance) in truth.items()})
    model = bl.Model(models.loss_to_score, runs, **settings, misfit=None)
    coords: dict[str, Any] = {"chain": np.arange(2), "draw": np.arange(draws), "eval": model.design.evals}
    middles = {"m": [2.6, 3.0], "k": [10.0, 5.0], "c": [0.97, 0.97], "sigma": [NOISE, NOISE]}
    spread = {"m": 0.005, "k": 0.02, "c": 0.002, "sigma": 0.02}
    values = {
        name: xr.DataArray(np.exp(spread[name] * rng.standard_normal((2, draws, 2))) * middle, coords, list(coords))
        for name, middle in middles.items()
    }
    posterior = xr.DataTree.from_dict({"posterior": xr.Dataset(values)})
    return Fit(model, posterior, {"method": "stand-in", "seed": 0}, 1.0)
