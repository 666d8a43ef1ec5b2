"""The seven parameterisations of the D-CPT paper: its formulas, its units, and least squares on its design."""

from collections.abc import Callable
from math import e
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law

PAPER: dict[str, Callable[..., Any]] = {
    "dcpt_l1": lambda N, D, r, E, A, alpha, B, beta, C, gamma, eps: (
        E + A / N**alpha + B / D**beta + C / (r + eps) ** gamma
    ),
    "dcpt_l2": lambda N, D, r, E, A, alpha, B, beta, C, gamma, eps, eta: (
        E + A / N**alpha + (B / D**beta + C / (r + eps) ** gamma) ** eta
    ),
    "dcpt": lambda N, D, r, E, A, alpha, B, beta, eta, C, gamma, eps: (
        E + A / N**alpha + B * r**eta / D**beta + C / (r + eps) ** gamma
    ),
    "dcpt_l4": lambda N, D, r, E, A, alpha, B, b, beta, C, c: E + A / N**alpha + B * b**r / D**beta + C / c**r,
    "dcpt_l5": lambda N, D, r, E, A, alpha, B, beta, sigma_other: (
        E + A / N**alpha + B / (r * D + (1 - r) * sigma_other) ** beta
    ),
    "dcpt_l5_effective": lambda N, D, r, E, A, alpha, B, beta, sigma_other: (
        E + A / N**alpha + B / (r * D + (1 - r) * sigma_other * D) ** beta
    ),
    "dcpt_l6": lambda N, D, r, E, A, alpha, B, beta, C, gamma, eps: (
        E + A / N**alpha + B * e**r / D**beta + C / (r + eps) ** gamma
    ),
    "dcpt_l7": lambda N, D, r, E, A, alpha, B, beta, eta, C, gamma, eps: (
        E + A / N**alpha + B * (r + eps) ** eta / D**beta + C / (r + eps) ** gamma
    ),
}
"""The forms as the paper prints them, N and D in billions."""

COUNTS = {"dcpt_l1": 8, "dcpt_l2": 9, "dcpt": 9, "dcpt_l4": 8, "dcpt_l5": 6, "dcpt_l6": 8, "dcpt_l7": 9}
SIZES, TOKENS, SHARES = [0.5e9, 1.8e9, 4e9], [0.5e9, 2e9, 8e9, 26e9], [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9]

each_form = pytest.mark.parametrize("name", PAPER)


def middle(law: Law) -> dict[str, float]:
    """The middle of every prior."""
    return {name: float(np.exp(c.prior.parameters["mu"])) for name, c in law.coefficients.items()}


def design() -> pd.DataFrame:
    """The paper's design, with fewer checkpoints."""
    return pd.MultiIndex.from_product([SIZES, TOKENS, SHARES], names=["N", "D", "domain_share"]).to_frame(index=False)


@each_form
def test_the_form_is_the_papers(name):
    law = models.catalogue[name]
    rng = np.random.default_rng(0)
    c = {k: m * np.exp(rng.normal(0, 0.2)) for k, m in middle(law).items()}
    N, D, r = SIZES[1] / 1e9, np.array(TOKENS)[:, None] / 1e9, np.array(SHARES)
    assert law.paper_units
    wanted = {k: c[k] for k in ("A", "alpha", "B", "beta", "sigma_other") if k in c}
    if name != "dcpt_l5":
        wanted.pop("sigma_other", None)
    reference = {"N": 3e9, "D": 2e10}
    paper = c | dict(law.paper_units(reference, **wanted))
    ours = law(N * 1e9 / reference["N"], D * 1e9 / reference["D"], r, **c)
    np.testing.assert_allclose(ours, PAPER[name](N, D, r, **paper), rtol=1e-12)
    assert len(c) == COUNTS.get(name, 6)


@each_form
def test_least_squares_recovers_the_losses_of_its_own_form(name):
    """Without noise, at shares and sizes that were left out too; coefficients may differ along their ridges."""
    law, rows = models.catalogue[name], design()
    truth = middle(law)
    seen = rows["domain_share"] != 0.5
    rows["domain_loss"] = law(rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], **truth)
    runs = bl.read_runs(rows[seen])
    fit = bl.Model(law, runs, noise=bl.Noise(correlated=False), misfit=None).fit(method="mle", seed=1)
    found = fit.predict(N=[1e9, 4e9, 7e9], D=[1e9, 2e10], domain_share=[0.15, 0.5, 0.9]).draws
    found = found.squeeze(["chain", "draw", "eval"], drop=True)
    at = law(found["N"] / 1e9, found["D"] / 1e10, found["domain_share"], **truth)
    np.testing.assert_allclose(found, at.transpose(*found.dims), atol=1e-4)


@each_form
def test_usable_wherever_the_dcpt_law_is(name):
    law, rows = models.catalogue[name], design()
    rows["domain"] = np.where(np.arange(len(rows)) % 2, "code", "law")
    for loss in ("general", "domain"):
        share = rows["domain_share"] if loss == "domain" else 1 - rows["domain_share"]
        rows[f"{loss}_loss"] = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, share, **middle(models.dcpt))
    fit = bl.Model(law, bl.read_runs(rows), by={"E": "domain"}, misfit=None).prior_predictive(draws=50)
    ratio = fit.critical_ratio(N=1.8e9, D=1e10, domain="law", baseline=2.5, max_rise=0.03)
    assert ratio.draws.sizes == {"chain": 1, "draw": 50}
    assert fit.best_ratio(N=1.8e9, domain_tokens=5e9, domain="code").draws.notnull().all()
