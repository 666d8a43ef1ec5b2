"""Small tables for any law of the catalogue."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bayeslaw.law import Law

LEVELS = {
    "N": [1e8, 5e8, 2e9],
    "D": [1e8, 1e9, 1e10, 5e10],
    "domain_share": [0.0, 0.1, 0.5, 0.9, 1.0],
}
"""Levels of every column a law may need, its ends included."""


@pytest.fixture
def table_for() -> Callable[..., pd.DataFrame]:
    """Make a table of runs with the columns of a law: all levels crossed, or rows that cross nowhere."""

    def make(
        law: Law, crossed: bool = True, rows: int = 15, domains: tuple[str, ...] = ("code", "law")
    ) -> pd.DataFrame:
        rng = np.random.default_rng(1)
        levels = {c: LEVELS[c] for c in law.columns}
        if crossed:
            frame = pd.MultiIndex.from_product([*levels.values(), domains], names=[*levels, "domain"]).to_frame(
                index=False
            )
        else:
            frame = pd.DataFrame({c: np.quantile(v, np.linspace(0, 1, rows)) for c, v in levels.items()})
            frame = frame.apply(lambda column: rng.permutation(column)).assign(domain=np.resize(domains, rows))
        for name in law.evals or ("validation",):
            frame[f"{name}_loss"] = np.exp(rng.normal(1.0, 0.1, len(frame)))
        return frame

    return make
