"""Small tables for any law of the catalogue, and public runs that several tests read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslaw.validation.refits  # noqa: F401  (it reads the signature of fits, which tests replace)
from bayeslaw.declare.laws import Law

LEVELS = {
    "N": [1e8, 5e8, 2e9],
    "D": [1e8, 1e9, 1e10, 5e10],
    "U": [1e9, 4e9],
    "domain_share": [0.0, 0.1, 0.5, 0.9, 1.0],
    "S1": [0.3, 2.0, 20.0],
    "annealed_power": [-1e-4, 0.0, 2e-4],
    "annealed": [-1e-4, 0.0, 2e-4],
    "S1cpt": [0.01, 1.0, 10.0],
    "annealed_pt": [0.0, 2e-4],
    "annealed_cpt": [-1e-4, 2e-4],
    "L": [0.5, 1.0, 2.0],
    "chance": [0.0, 0.25],
    "L_base": [3.2, 2.5],
    "L_general": [2.5, 3.0],
    "L_domain": [2.0, 3.5],
    "duration": [0.0, 0.05, 0.1, 0.3],
    "k1": [1.5, 2.5],
    "k2": [0.1, 0.5],
    "k3": [0.2],
}
"""Levels of every column a law may need, its ends included."""

SMALL_REPLAY = [0.9, 0.95, 0.98, 0.99, 1.0]
"""Domain shares in the range of laws of small replay."""

PYTHIA = Path(__file__).parents[2] / "shared/data/pythia70m_cpt/ct_pythia70m_pile_python.csv"


@pytest.fixture
def pythia() -> tuple[pd.DataFrame, np.ndarray]:
    """Real runs of Pythia-70M at five shares of Python code; and which rows are of the run that is left out."""
    if not PYTHIA.is_file():
        pytest.skip(f"no file {PYTHIA.name}: this public table is not part of the package")
    names = {"r_domain": "domain_share", "pile_loss": "general_loss", "python_loss": "domain_loss"}
    table = pd.read_csv(PYTHIA).rename(columns=names)
    table["run"] = "python " + table["domain_share"].astype(str)
    columns = ["run", "step", "domain_share", "general_loss", "domain_loss"]
    return table[columns], np.isclose(table["domain_share"], 1 - 0.28515625)


def table_of(
    law: Law, crossed: bool = True, rows: int = 15, domains: tuple[str, ...] = ("code", "law"), sources: int = 3
) -> pd.DataFrame:
    """Make a table of runs with the columns of a law: all levels crossed, or rows that cross nowhere."""
    rng = np.random.default_rng(1)
    features = {c: covariate.of for c, covariate in law.covariates.items() if covariate.of}
    levels = {c: LEVELS[c] for c in law.columns if c not in ("weight", *features)}
    levels |= {"domain_share": SMALL_REPLAY} if "replay" in law.covariates else {}
    if not levels:
        frame = pd.DataFrame({"domain": np.resize(domains, rows)})
    elif crossed:
        frame = pd.MultiIndex.from_product([*levels.values(), domains], names=[*levels, "domain"]).to_frame(index=False)
    else:
        frame = pd.DataFrame({c: np.quantile(v, np.linspace(0, 1, rows)) for c, v in levels.items()})
        frame = frame.apply(lambda column: rng.permutation(column)).assign(domain=np.resize(domains, rows))
    for c, of in features.items():  # one value for each label, and for all where levels cross
        labels = domains if of == "domain" else frame[of].unique()
        values = np.resize(LEVELS[c][-1:] if crossed else LEVELS[c], len(labels))
        frame[c] = frame[of].map(dict(zip(labels, values, strict=True)))
    if "weight" in law.columns:
        names = ["books", "code", "web", *(f"other{i}" for i in range(sources - 3))]
        shares = rng.dirichlet([2.0] * sources, len(frame)).round(3)
        shares[0] = [0.0, 0.25, 0.75, *[0.0] * (sources - 3)]
        frame[[f"weight_{name}" for name in names]] = shares
    for name in law.evals or ("validation",):
        frame[f"{name}_loss"] = np.exp(rng.normal(1.0, 0.1, len(frame)))
    if law.path not in levels:
        frame["run"] = [f"run {i}" for i in range(len(frame))]
    return frame


@pytest.fixture(scope="session")
def table_for() -> Callable[..., pd.DataFrame]:
    return table_of
