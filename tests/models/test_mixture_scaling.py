"""Mixture laws with size and tokens: their count of coefficients, optima that move or do not, recovery, public runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from tests.models.test_mixture_laws import read

LAWS = (models.additive_mixture, models.joint_mixture)
each = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
SOURCES = ["web", "code", "books"]


def over(*values: float) -> xr.DataArray:
    return xr.DataArray(list(values), coords={"source": SOURCES})


HELP: dict[str, Any] = {"E": 1.5, "G": over(0.15, 1.5, 0.4), "g": over(0.3, 0.5, 0.4)}
ADDITIVE: dict[str, Any] = {**HELP, "A": 0.3, "alpha": 0.35, "B": 0.25, "beta": 0.4}
JOINT: dict[str, Any] = {
    **HELP,
    **{"A": over(0.65, 0.1, 0.4), "g_A": 1.2, "alpha": 0.35, "B": over(0.3, 0.25, 0.35), "g_B": 0.9, "beta": 0.4},
}
TRUTH = {"additive_mixture": ADDITIVE, "joint_mixture": JOINT}


def simulated(law: Law, seed: int = 2, noise: float = 0.002) -> bl.Runs:
    rng = np.random.default_rng(seed)
    rows = []
    for number, shares in enumerate(rng.dirichlet([1.5] * 3, 16)):
        for N in (1e8, 3e8, 1e9):
            for D in (2e9, 1e10):
                loss = float(law(N / 1e9, D / 1e10, over(*shares), **TRUTH[law.name]))
                rows.append([f"{number} {N:g} {D:g}", N, D, *shares, loss * np.exp(noise * rng.standard_normal())])
    columns = ["run", "N", "D", *(f"weight_{s}" for s in SOURCES), "validation_loss"]
    return bl.read_runs(pd.DataFrame(rows, columns=columns))


def coefficients(law: Law, sources: int) -> int:
    return sum(sources if c.over else 1 for c in law.coefficients.values())


def test_the_joint_form_has_the_papers_count_of_coefficients():
    """4 K + 5, which is 37 for eight sources; the additive form has 2 K + 5."""
    assert coefficients(models.joint_mixture, 8) == 37
    assert coefficients(models.additive_mixture, 8) == 21


def test_the_additive_form_is_the_papers():
    """E + 1 / sum(C h^g) + A / N^alpha + B / D^beta, with C = G 10^g / g."""
    shares = over(0.2, 0.5, 0.3)
    C = over(0.5, 3.0, 1.0) * 10 ** HELP["g"]
    paper = 1.5 + 1 / float((C * shares ** HELP["g"]).sum())
    paper += 0.3 * 1e9**0.35 / 3e8**0.35 + 0.25 * 1e10**0.4 / 5e9**0.4
    assert float(models.additive_mixture(0.3, 0.5, shares, **ADDITIVE)) == pytest.approx(paper, rel=1e-4)


def test_the_joint_form_is_additive_where_sources_are_alike():
    alike = {**JOINT, "A": over(0.5, 0.5, 0.5), "B": over(0.3, 0.3, 0.3)}
    same = {**ADDITIVE, "A": 0.5, "B": 0.3}
    shares = over(0.2, 0.5, 0.3)
    found = [
        float(models.joint_mixture(0.3, 0.5, shares, **alike)),
        float(models.additive_mixture(0.3, 0.5, shares, **same)),
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_the_powers_of_the_joint_form_say_nothing_where_sources_are_alike():
    """A scale that a power multiplies would trade against it: the chains of real runs did not mix for it."""
    alike = {**JOINT, "A": over(1.5, 1.5, 1.5), "B": over(0.1, 0.1, 0.1)}
    at = (0.3, 0.5, over(0.2, 0.5, 0.3))
    found = [float(models.joint_mixture(*at, **alike | {"g_A": a, "g_B": b})) for a, b in ((0.5, 2.0), (1.5, 1.0))]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_help_rises_by_g_with_the_log_of_a_share_at_a_tenth():
    """G is what a source's help, a part of 1 / (nats that the mixture leaves), gains with its share."""

    def helped(share: float) -> float:
        size_and_tokens = {"E": 0.0, "A": 0.0, "B": 0.0}
        return 1 / float(models.additive_mixture(1.0, 1.0, over(0.4, share, 0.4), **ADDITIVE | size_and_tokens))

    rise = (helped(0.1 * 1.001) - helped(0.1 / 1.001)) / (2 * np.log(1.001))
    assert rise == pytest.approx(float(HELP["G"].sel(source="code")), rel=2e-3)


@each
def test_the_loss_is_finite_and_has_a_slope_where_a_source_is_left_out(law):
    at = [float(law(0.3, 0.5, over(share, 1 - share, 0.0), **TRUTH[law.name])) for share in (0.0, 1e-6, 1e-3)]
    assert np.isfinite(at).all() and abs(at[1] - at[0]) < 1e-3


@each
def test_prior_losses_look_like_losses(law):
    model = bl.Model(law, simulated(law), misfit=None)
    even = dict.fromkeys(SOURCES, 1 / 3)
    losses = model.prior_predictive(draws=300).predict(N=[1e8, 1e9, 1e10], D=[1e9, 1e11], weight=even).draws
    low, high = np.quantile(losses, [0.05, 0.95])
    assert 0.8 < low < high < 12
    assert (losses.diff("N") < 0).all() and (losses.diff("D") < 0).all()


@each
def test_recovery_from_simulated_runs(law):
    """Of mixtures none of the runs had, at ten times the size; the ridges between coefficients leave those alone."""
    fit = bl.Model(law, simulated(law), misfit=None).fit(draws=300, tune=400, chains=2, seed=1, progress=False)
    rng = np.random.default_rng(9)
    inside = []
    for shares in rng.dirichlet([2.0] * 3, 8):
        band = fit.predict(N=1e9, D=1e10, weight=dict(zip(SOURCES, shares, strict=True)))
        truth = float(law(1.0, 1.0, over(*shares), **TRUTH[law.name]))
        assert float(band.mean().squeeze()) == pytest.approx(truth, rel=0.01)
        ends = band.interval(0.98)
        inside.append(float(ends["lower"].squeeze()) < truth < float(ends["upper"].squeeze()))
    assert sum(inside) >= 6
    for name in ("alpha", "beta"):
        draws = fit.posterior[name]
        assert abs(float(draws.mean()) - TRUTH[law.name][name]) < 3 * float(draws.std()), name


def test_public_runs_of_a_larger_size_on_unseen_mixtures():
    """SlimPajama, least squares on 122M and 310M: 680M models on mixtures that no fitted run has."""
    table = read("slimpajama_grid/upto_680M.csv").rename(columns={"model_size": "N", "n_tokens": "D"})
    shares = [c for c in map(str, table) if c.startswith("weight_")]
    table = table[["N", "D", *shares, "c4_loss"]].dropna()
    table["run"] = table.groupby([*shares, "N"]).ngroup().map("run {}".format)
    mixture = table.groupby(shares).ngroup()
    unseen = mixture.isin(sorted(mixture[table["N"] > 5e8].unique())[::2])
    fit = bl.Model(models.additive_mixture, bl.read_runs(table[~unseen & (table["N"] < 5e8)]), misfit=None).fit(
        method="mle"
    )
    asked = table[unseen & (table["N"] > 5e8)]
    error = abs(fit.predict(asked)["mean"].to_numpy() / asked["c4_loss"].to_numpy() - 1)
    assert len(asked) == 220 and np.median(error) < 0.012
