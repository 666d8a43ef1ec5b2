"""A small study of every law of the catalogue: where runs are measured; their losses are simulated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.declare.laws import Law

__all__ = ["FITS", "study"]

FITS: dict[str, Any] = {"draws": 300, "chains": 2, "tune": 400, "seed": 1}
"""How every simulated study is refitted."""

LEVELS: dict[str, list[float]] = {
    "N": [3e8, 1e9, 3e9],
    "D": [2e9, 6e9, 2e10, 6e10],
    "U": [1e9, 8e9],
    "domain_share": [0.1, 0.33, 0.67, 0.9],
    "duration": [0.0, 0.05, 0.1, 0.2, 0.3],
    "L": [0.6, 0.7, 0.8, 0.95, 1.1, 1.3, 1.5, 1.8, 2.1, 2.5],
    "chance": [0.0, 0.25],
}
SMALL_REPLAY = [0.95, 0.99, 0.995, 1.0]
"""Domain shares in the range of laws of small replay."""

BASES = pd.DataFrame({"N": LEVELS["N"], "L_base": [2.6, 2.3, 2.1]})
DOMAINS = pd.DataFrame(
    {"domain": ["code", "law", "math"], "k1": [1.4, 2.2, 1.8], "k2": [0.8, 0.4, 0.55], "k3": [0.5, 0.3, 0.4]}
)
PEAK, STEPS = 2e-4, 10_000
PLANS = {
    "constant": schedules.constant(STEPS, PEAK, warmup=200),
    "cosine": schedules.cosine(STEPS, PEAK, PEAK / 10, warmup=200),
    "decayed": schedules.wsd(STEPS, PEAK, decay=2000, warmup=200),
}
LOGGED = [400, 800, 1600, 3200, 5000, 7000, 8500, 9500, 10_000]
MIXTURES = 24
LOSS = 3.0
"""Stands for the losses, which are simulated; in nats, of text."""


def study(law: Law) -> bl.Model:
    """Return the model of a few dozen measurements: plain (nothing pooled), errors as the table's structure says."""
    if law.kind == "schedule":
        return bl.Model(law, curves(law), misfit=None)
    make: dict[str, Callable[[Law], pd.DataFrame]] = {"weight": mixtures, "L_general": out_of_domain}
    table = next((f for column, f in make.items() if column in law.columns), crossed)(law)
    evals = law.evals or ("first", "second")
    few = evals if law is models.dcpt or "duration" in law.columns else evals[-1:]
    return bl.Model(law, bl.read_runs(table.assign(**{f"{e}_loss": LOSS for e in few})), misfit=None)


def crossed(law: Law) -> pd.DataFrame:
    """Every level with every other; of each domain, where the law knows features of it."""
    levels = LEVELS | ({"domain_share": SMALL_REPLAY} if "replay" in law.covariates else {})
    columns = [c for c in law.columns if c in levels]
    index = pd.MultiIndex.from_product([levels[c] for c in columns], names=columns)
    table = index.to_frame(index=False)
    if "L_base" in law.columns:
        table = table.merge(BASES)
    if any(covariate.of == "domain" for covariate in law.covariates.values()):
        features = ["domain", *(c for c in DOMAINS if c in law.columns)]
        table = table[table["D"] != LEVELS["D"][1]].merge(DOMAINS[features], how="cross")
    if "duration" in columns:
        table = pd.concat([table, table], ignore_index=True)
        table["run"] = [f"run {i + 1}" for i in table.index]
    return table


def mixtures(law: Law) -> pd.DataFrame:
    """Random mixtures of four sources, at every size and number of tokens where the law knows them."""
    shares = np.random.default_rng(1).dirichlet(np.ones(4), MIXTURES if "N" not in law.columns else 6)
    table = pd.DataFrame(shares, columns=[f"weight_{s}" for s in ("books", "code", "forum", "web")])
    for column in (c for c in law.columns if c in LEVELS):
        table = table.merge(pd.Series(LEVELS[column], name=column), how="cross")
    return table


def out_of_domain(law: Law) -> pd.DataFrame:
    """Two losses that move apart along each of four runs."""
    rows = [
        {"run": f"run {n}", "step": step, "L_general": 2.6 + 0.15 * n * step / STEPS, "L_domain": 2.4 - 0.1 * n * x}
        for n in range(1, 5)
        for step, x in zip(LOGGED[2:], np.sqrt(np.array(LOGGED[2:]) / STEPS), strict=True)
    ]
    return pd.DataFrame(rows)


def curves(law: Law) -> bl.Runs:
    """One validation set along three schedules, of two sizes or shares where the law knows them, and their base."""
    kinds: list[dict[str, float]] = [{}]
    for column, values in (("N", (1e8, 5e8)), ("domain_share", (0.3, 1.0))):
        if column in law.columns:
            kinds = [kind | {column: value} for kind in kinds for value in values]
    goes_on, known = "S1cpt" in law.columns, "S1" in law.columns
    base = schedules.wsd(2 * STEPS, PEAK, decay=4000, warmup=200)
    parts: list[pd.DataFrame] = []
    plan: dict[str, schedules.Schedule] = {}
    before: dict[str, schedules.Schedule | None] = {}
    for number, kind in enumerate(kinds):
        for name, own in PLANS.items():
            run = f"{name} {number + 1}"
            plan[run], before[run] = own, base
            parts.append(pd.DataFrame({"run": run, "step": LOGGED, **kind}))
        if goes_on and known:
            run = f"base {number + 1}"
            plan[run], before[run] = base, None
            parts.append(pd.DataFrame({"run": run, "step": [*LOGGED, 14_000, 17_000, 20_000], **kind}))
    told: dict[str, Any] = {}
    if goes_on:
        told["before"] = before if known else schedules.unknown()
    return bl.read_curves(pd.concat(parts).assign(general_loss=LOSS), schedule=plan, **told)
