"""Studies of the paper's kind simulated from the printed constants of CPT dynamics, refitted, and the truth's place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.sensitivity import in_prior_units
from bayeslaw.tables.runs import Runs
from bayeslaw.validation.evaluation import convergence
from bayeslaw.validation.refits import file_of, finish
from tests.studies.cpt_printed import (
    FIGURE_3,
    FIGURE_15,
    FIGURE_18,
    OUT_OF_DOMAIN,
    SIZES,
    coefficients,
    combined,
    measured_at,
    printed,
    weights,
)
from tests.studies.page import BUILD

__all__ = ["ERROR", "NOISES", "POINT", "Found", "Setting", "refitted", "settings"]

FEW: dict[str, Any] = {"tune": 300, "chains": 2, "progress": False}
ERROR = 0.001
STEP = [100, 400, 1000, 2000, 5000, 10_000, 15_000, 18_000, 20_000]
FIRST_STEP = [1000, 2000, 5000, 10_000, 20_000, 30_000, 36_000, 40_000]
DENSE = [100, 200, 400, 700, *range(1000, 20_001, 500)]
FIRST_DENSE = range(1000, 40_001, 1000)
NOISES = {"default": bl.Noise(correlated=True), "independent": bl.Noise(correlated=False)}
ENDS = ((1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2)
POINT = "critical point"


@dataclass(frozen=True, eq=False)
class Setting:
    """A study of the paper's kind without errors: where it is measured, what is true, and which runs are left out."""

    law: Law
    runs: Runs
    truth: Mapping[str, Mapping[str, float]]
    held: tuple[str, ...]
    draws: int = 300

    @cached_property
    def known(self) -> pd.Series:
        """Which rows are fitted."""
        return ~self.runs.table["run"].isin([r for r in self.runs.table["run"] if str(r).endswith(self.held)])

    def study(self, seed: int) -> tuple[Runs, pd.DataFrame]:
        """Return what is fitted and what is left out, every loss with an independent relative error."""
        table, rng = self.runs.table.copy(), np.random.default_rng([9, seed])
        for column in [c for c in table if str(c).startswith("L_") or str(c).endswith("_loss")]:
            table[column] *= np.exp(rng.normal(0, ERROR, len(table)))
        known = replace(self.runs, table=table[self.known].reset_index(drop=True))
        return known, table[~self.known].reset_index(drop=True)


def of_curves(
    law: Law, constants: Mapping[str, Mapping[str, float]], runs: Runs, *held: str, draws: int = 300
) -> Setting:
    """Return the setting of a version of the law, its losses by the printed equation."""
    losses = {f"{name}_loss": printed(runs.table, c) for name, c in constants.items()}
    truth = {name: coefficients(c) for name, c in constants.items()}
    return Setting(law, replace(runs, table=runs.table.assign(**losses)), truth, held, draws)


def unknown_pretraining(*early: int) -> Setting:
    """Return the setting of figure 3 after 20,000 steps that the law is not told of, with some early checkpoints."""
    runs, step = ["short constant", "short cosine", "short wsd", "short low"], [*early, *STEP]
    true = measured_at(runs, step).table
    told = measured_at(runs, step, before=schedules.unknown())
    losses, truth = {}, {}
    for name, c in FIGURE_3.items():
        start = true.iloc[0]
        area, annealed = start["S1"] - start["S1cpt"], start["S2pt"]
        losses[f"{name}_loss"] = printed(true, c)
        open_model = {k: v for k, v in c.items() if k != "C_pt"} | {"S1pt": area}
        truth[name] = coefficients(open_model | {"L0": c["L0"] - c["C_pt"] * annealed})
    return Setting(models.cpt_dynamics_open, replace(told, table=told.table.assign(**losses)), truth, ("wsd",), 600)


def settings() -> dict[str, Setting]:
    """Return every simulated study."""
    whole = [f"{a} {b}" for a in ("early", "flat", "half", "done") for b in ("constant", "cosine", "wsd")]
    whole, two = [*whole, "half low", "flat", "done"], ("half low", "done wsd")
    by_size = ["flat", "done", "flat constant", "flat wsd", "done cosine", "half wsd"]
    few = ["flat constant", "flat wsd", "early cosine", "half low"]
    mixed = combined(measured_at([*few, "done wsd"], STEP).table)
    return {
        "figure 3": of_curves(models.cpt_dynamics, FIGURE_3, measured_at(whole, STEP, FIRST_STEP), *two),
        "figure 3, dense": of_curves(models.cpt_dynamics, FIGURE_3, measured_at(whole, DENSE, FIRST_DENSE), *two),
        "three sizes": of_curves(
            models.cpt_dynamics_size,
            FIGURE_15,
            measured_at(by_size, STEP, FIRST_STEP, sizes=SIZES),
            "half wsd",
        ),
        "unknown pre-training": unknown_pretraining(),
        "unknown pre-training, from step 1": unknown_pretraining(1, 10),
        "model II of figure 18": of_curves(
            models.cpt_dynamics_open,
            FIGURE_18,
            measured_at(["done constant", "done cosine", "done wsd", "done low"], STEP, before=schedules.unknown()),
            "wsd",
            draws=600,
        ),
        "out of domain": Setting(
            models.cpt_out_of_domain,
            bl.read_runs(mixed),
            {name: weights(*w) for name, w in OUT_OF_DOMAIN.items()},
            ("done wsd",),
        ),
    }


def inside(bands: pd.DataFrame, losses: np.ndarray) -> pd.Series:
    """Return which losses lie in their bands."""
    return pd.Series(losses).between(bands["lower"], bands["upper"])


def work(label: str, setting: Setting, seed: int, noise: bl.Noise) -> dict[str, Any]:
    """Fit one simulated study; where the truth lies, as plain numbers."""
    known, held = setting.study(seed)
    fit = bl.Model(setting.law, known, noise=noise, misfit=None).fit(**FEW, draws=setting.draws, seed=seed)
    standard = in_prior_units(fit)
    rows = []
    for name, truth in setting.truth.items():
        for symbol, value in truth.items():
            low, middle, high = np.quantile(fit.posterior[symbol].sel(eval=name), ENDS)
            moved = 1 - float(standard[symbol].sel(eval=name).var())
            rows.append(dict(loss=name, what=symbol, true=value, low=low, middle=middle, high=high, contraction=moved))
    if {"S1", "S1cpt"} <= set(setting.law.columns) and "N" not in setting.law.columns:
        low, middle, high = np.quantile(fit.critical_point(goal="general").draws, ENDS)
        c = FIGURE_3["general"]
        true = (c["A"] / c["B"]) ** (1 / c["alpha"])
        rows.append(dict(loss="general", what=POINT, true=true, low=low, middle=middle, high=high))
    law, run = (fit.predict(held, new_run=new).reset_index(drop=True) for new in (False, True))
    scored = pd.DataFrame(
        {
            "loss": fit.evals * len(held),
            "law": inside(law, setting.runs.table.loc[~setting.known, known.loss_columns].to_numpy().ravel()),
            "run": inside(run, held[known.loss_columns].to_numpy().ravel()),
        }
    )
    left = scored.groupby("loss", sort=False, as_index=False).mean().to_dict("records")
    return {"fold": label, "rows": rows, "held": left, "fit": {**convergence(fit), "seconds": fit.seconds}}


@dataclass(frozen=True, eq=False)
class Found:
    """Where the truth lay in the refits of many simulations."""

    rows: pd.DataFrame
    held: pd.DataFrame
    fits: pd.DataFrame

    @property
    def n(self) -> int:
        """How many simulations."""
        return len(self.fits)

    def shares(self) -> pd.Series:
        """Return the share of intervals that hold the truth, by loss and quantity."""
        return self.rows.groupby(["loss", "what"], sort=False)["holds"].mean()

    def widths(self) -> pd.Series:
        """Return the median width of the intervals, by loss and quantity."""
        by = self.rows.assign(width=self.rows["high"] - self.rows["low"]).groupby(["loss", "what"], sort=False)
        return by["width"].median()

    def together(self) -> tuple[float, float]:
        """Return the share of all coefficients' intervals that hold the truth, and its Monte Carlo error."""
        of_study = self.rows[self.rows["what"] != POINT].groupby("study")["holds"].mean()
        return float(of_study.mean()), float(of_study.std() / np.sqrt(len(of_study)))

    def held_by_study(self) -> pd.Series:
        """Return how many intervals of coefficients hold the truth in every study."""
        return self.rows[self.rows["what"] != POINT].groupby("study")["holds"].sum()


def refitted(name: str, setting: Setting, n: int, noise: str) -> Found:
    """Refit the simulations of a setting, those kept from an earlier start left out."""
    label = {f"{name}, {noise} errors, study {i + 1}": i + 1 for i in range(n)}
    blank = bl.Model(setting.law, setting.runs, noise=NOISES[noise], misfit=None)
    recipe = {**FEW, "draws": setting.draws, "error": ERROR, "truth": setting.truth, "held_runs": setting.held}
    files = {k: file_of(BUILD / "cpt_recovery", k, blank, blank.design, CI_PROB, recipe) for k in label}
    tasks = {k: (setting, seed, NOISES[noise]) for k, seed in label.items()}
    done, failed = finish(work, tasks, files, progress=True)
    assert failed.empty, failed
    numbered = [(label[d["fold"]], d) for d in done]
    rows, held = (
        pd.concat([pd.DataFrame(d[k]).assign(study=i) for i, d in numbered], ignore_index=True)
        for k in ("rows", "held")
    )
    rows["holds"] = (rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"])
    rows["measured"] = int(setting.known.sum())
    return Found(rows, held, pd.DataFrame([d["fit"] for _, d in numbered]))
