"""What runs of several domains miss alike, and a new domain told with it."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.posterior.shared_errors import shared_errors
from bayeslaw.workflow import Fit

TRUTH = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
SIZES, TOKENS = [2e8, 5e8, 1e9, 2e9, 5e9], [2e8, 5e8, 1e9, 3e9, 1e10, 3e10, 1e11]
EARLY = 1e9
OWN = 0.002


def runs(shared: bool) -> pd.DataFrame:
    """Two domains whose floors differ; the early losses of each size are off by some 2 %, alike in both or not."""
    levels: list[Any] = [["code", "music"], SIZES, TOKENS]
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "D"]).to_frame(index=False)
    rng, early = np.random.default_rng(5), rows["D"] <= EARLY
    floor = TRUTH["E"] * rows["domain"].map({"code": 1.0, "music": 1.08})
    mean = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH | {"E": floor})
    dip = rng.normal(0.0, 0.02, (2, len(rows) // 2))
    common = np.concatenate([dip[0], dip[0] if shared else dip[1]])
    return rows.assign(loss=mean * np.exp(early * common + rng.normal(0, OWN, len(rows))))


def fitted(rows: pd.DataFrame) -> Fit:
    model = bl.Model(models.chinchilla, bl.read_runs(rows), by={"E": "domain"}, noise=bl.Noise(correlated=False))
    return model.fit(draws=400, tune=300, chains=2, seed=1, progress=False)


def told(rows: pd.DataFrame, fit: Fit) -> tuple[Fit, pd.DataFrame]:
    new = rows[rows["domain"] == "music"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the weights may be unreliable: then all runs are fitted together
        found = fit.new_domain(bl.read_runs(new[new["D"] <= EARLY]))
    return found, new[new["D"] > EARLY].reset_index(drop=True)


@pytest.fixture(scope="module")
def alike() -> tuple[pd.DataFrame, Fit]:
    rows = runs(shared=True)
    return rows, fitted(rows[rows["domain"] == "code"])


def test_errors_that_domains_share_are_taken_off_the_early_runs_of_one(alike):
    rows, fit = alike
    design = bl.Model(models.chinchilla, bl.read_runs(rows), by={"E": "domain"}).design
    early = bl.Model(
        models.chinchilla, bl.read_runs(rows.query("domain == 'music' and D <= @EARLY")), by={"E": "domain"}
    )
    shared = shared_errors(fit, "music", early.design)
    assert shared.slopes["validation"] > 0.5
    less, own = shared.without(design).rows["loss"] / design.rows["loss"], design.rows["domain"] == "music"
    np.testing.assert_array_equal(less.where(~own, drop=True), 1.0)
    assert float(abs(np.log(less.where(own, drop=True))).max()) > 0.01


def test_errors_of_their_own_are_left_alone():
    rows = runs(shared=False)
    fit = fitted(rows[rows["domain"] == "code"])
    early = bl.Model(
        models.chinchilla, bl.read_runs(rows.query("domain == 'music' and D <= @EARLY")), by={"E": "domain"}
    )
    assert shared_errors(fit, "music", early.design).slopes == {"validation": 0.0}


def test_with_one_other_domain_its_errors_help(alike, monkeypatch):
    """Beside the same without them, whose early losses are off by 2 % each for all that is known."""
    rows, fit = alike

    def error() -> tuple[float, Fit]:
        found, late = told(rows, fit)
        of = found.predict(late[["N", "D", "domain"]], new_run=True)
        assert ((of["lower"] <= late["loss"]) & (late["loss"] <= of["upper"])).mean() >= 0.8
        return float((of["mean"] - late["loss"]).abs().mean()), found

    with_them, found = error()
    assert found.settings["shared_errors"]["validation"] > 0.5
    monkeypatch.setattr("bayeslaw.posterior.shared_errors._slope", lambda twin, new: 0.0)
    without, _ = error()
    assert with_them < 0.75 * without


def test_what_the_law_misses_at_the_end_is_said(alike, tmp_path):
    rows, fit = alike
    found = bl.load(told(rows, fit)[0].save(tmp_path / "told.nc"))
    missed = found.settings["shared_at_the_end"]["validation"]
    caution = f"ends {100 * abs(missed):.2g} % {'above' if missed > 0 else 'below'} the law"
    cautions = found.predict(N=1e9, D=1e10, domain="music").cautions
    assert any("'music' rests on one other domain" in said for said in cautions)
    assert (abs(missed) > 0.005) == any(caution in said for said in cautions)
