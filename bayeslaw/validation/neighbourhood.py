"""The candidates that a study has by itself: the settings of its runs, and one step beyond them in size and tokens."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.errors import LawError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.tables.mixtures import PREFIX

__all__ = ["neighbourhood"]

MOST_LEVELS = 6
"""Levels of a column, evenly taken."""

MOST_OTHERS = 24
"""Combinations of the other columns, evenly taken."""

LEAST_STEP = 2.0
"""Factor of the step beyond the largest size or the most tokens."""


def neighbourhood(fit: Posterior) -> pd.DataFrame:
    """Return candidates for the next run: levels of the runs, crossed, and one step beyond in N and D.

    Raises
    ------
    LawError
        The law is of curves, whose candidates are schedules.
    """
    law, design, runs = fit.model.law, fit.model.design, fit.model.runs.table
    if law.kind == "schedule":
        raise LawError(f"candidates for {law.name} are schedules: give candidates='curves.csv'")
    crossed: dict[str, list[float]] = {}
    for column in ("N", "D", "domain_share", "duration"):
        if column in law.columns and column in design.levels:
            levels = _some(design.levels[column].astype(float), MOST_LEVELS)
            beyond = column in ("N", "D") and column not in design.groups
            crossed[column] = [*levels, *([_beyond(levels)] if beyond else [])]
    if "D" in crossed and len(crossed["D"]) > 3:
        crossed["D"] = [crossed["D"][len(crossed["D"]) // 2 - 1], *crossed["D"][-2:]]
    derived = [c for c, covariate in law.covariates.items() if covariate.of]
    columns = [*law.columns, *design.groups, *(covariate.of for covariate in law.covariates.values() if covariate.of)]
    shares = [str(c) for c in runs if str(c).startswith(PREFIX)]
    own = [c for c in dict.fromkeys([*columns, *shares]) if c in runs and c not in (*crossed, *derived)]
    others = runs[own].drop_duplicates() if own else pd.DataFrame(index=[0])
    others = others.iloc[np.unique(np.linspace(0, len(others) - 1, MOST_OTHERS).round().astype(int))]
    grid: list[dict[str, Any]] = [dict(zip(crossed, levels, strict=True)) for levels in product(*crossed.values())]
    return pd.DataFrame([level | other for level in grid for other in others.to_dict("records")])


def _some(levels: np.ndarray, most: int) -> list[float]:
    return [float(levels[i]) for i in np.unique(np.linspace(0, len(levels) - 1, most).round().astype(int))]


def _beyond(levels: list[float]) -> float:
    """Return the next level after the largest one."""
    step = levels[-1] / levels[-2] if len(levels) > 1 and levels[-2] > 0 else LEAST_STEP
    return float(f"{levels[-1] * max(step, LEAST_STEP):.2g}")
