"""The D-CPT paper's four requirements of a law, on stand-in posteriors, beside the paper's verdicts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import LawError, RangeError, UnknownName
from bayeslaw.workflow import Fit

TRUTH = dict(E=2.0, A=0.3, alpha=0.3, B=0.03, beta=0.3, eta=1.2, C=0.2, gamma=0.747, eps=0.0256)
"""A law that falls in its own share over the paper's design; gamma and eps are those of the paper's table 5."""

SIZES, TOKENS = [0.5e9, 1.8e9, 4e9], [0.1311e9, 0.5e9, 2e9, 8e9, 26e9]
SHARES = [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0]
TREND, FASTER = "explicit trend", "implicit trend"


def simulated(seed: int, **changed: float) -> bl.Runs:
    """The paper's design with fewer checkpoints, and the domain loss of a law with known coefficients."""
    levels: list[Any] = [SIZES, TOKENS, SHARES]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share"]).to_frame(index=False)
    mean = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], **TRUTH | changed)
    error = np.random.default_rng(seed).normal(0, 0.002, len(rows))
    return bl.read_runs(rows.assign(domain_loss=mean * np.exp(error)))


def stand_in(name: str) -> Fit:
    """Least squares of a form on simulated studies of the D-CPT law, one draw each."""
    model_of: dict[str, Any] = {"noise": bl.Noise(correlated=False), "monotone": None}
    fits = [
        bl.Model(models.catalogue[name], simulated(seed), **model_of, misfit=None).fit(method="mle")
        for seed in range(3)
    ]
    posterior = xr.concat([f.posterior.assign_coords(draw=[i]) for i, f in enumerate(fits)], "draw")
    return Fit(fits[0].model, xr.DataTree.from_dict({"posterior": posterior}))


def on_draws(name: str, draws: list[dict[str, float]], **range_of: tuple[float, float]) -> pd.DataFrame:
    """The requirements of a form at given coefficients."""
    law = models.catalogue[name]
    values = {k: (("chain", "draw", "eval"), [[[d[k]] for d in draws]]) for k in law.coefficients}
    posterior = xr.Dataset(values, coords={"chain": [0], "draw": np.arange(len(draws)), "eval": ["domain"]})
    model = bl.Model(law, simulated(0), monotone=None, misfit=None)
    table = bl.requirements(Fit(model, xr.DataTree.from_dict({"posterior": posterior})), **range_of)
    return table.set_index(["requirement", "along"])


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("dcpt", set()),
        ("dcpt_l1", {FASTER}),
        ("dcpt_l2", {"consistency"}),
        ("dcpt_l4", {TREND}),
        ("dcpt_l6", set()),
        ("dcpt_l7", set()),
    ],
)
def test_the_verdicts_are_the_papers(name, fails):
    table = bl.requirements(stand_in(name)).groupby("requirement")["probability"].min()
    assert set(table.index) == {"adaptability", TREND, FASTER, "consistency"}
    assert set(table[table < 0.5].index) == fails
    assert (table[table < 0.5] == 0).all() and (table.drop(list(fails)) == 1).all()


def test_trends_by_hand():
    """The D-CPT law falls in its own share where C gamma (r + eps)^-(gamma + 1) > B eta r^(eta - 1) D^-beta."""
    draws = [TRUTH, TRUTH | {"B": 0.2}]
    low = 1e9
    table = on_draws("dcpt", draws, D=(low, 26e9), domain_share=(0.2, 0.9))
    r = np.linspace(0.2, 0.9, 1001)
    c = draws[1]
    fall = c["C"] * c["gamma"] * (r + c["eps"]) ** (-c["gamma"] - 1)
    rise = c["B"] * c["eta"] * r ** (c["eta"] - 1) * (low / 1e10) ** -c["beta"]
    assert (rise > fall).any()
    assert table.loc[(TREND, "share"), "probability"] == 0.5
    grid = np.linspace(0.2, 0.9, 9)
    losses = models.dcpt(1.0, low / 1e10, grid, **c), models.dcpt(1.0, low / 1e10, grid, **TRUTH)
    assert table.loc[(TREND, "share"), "worst"] == pytest.approx(np.mean([np.diff(x).max() for x in losses]))
    for requirement in ((TREND, "N"), (TREND, "D"), (FASTER, "D, share"), ("consistency", "N, D")):
        assert table.loc[requirement, "probability"] == 1


def test_a_size_that_depends_on_tokens_is_not_consistent():
    """A power that bends, and two that do not add up: the deviation is in nats."""
    middle = {k: float(np.exp(c.prior.parameters["mu"])) for k, c in models.dcpt_l2.coefficients.items()}
    table = on_draws("dcpt_l2", [middle | {"eta": eta} for eta in (0.5, 1.0, 2.0)])
    assert table.loc[("consistency", "N, D"), "probability"] == pytest.approx(1 / 3), "at eta = 1 it is"
    assert table.loc[(FASTER, "D, share"), "probability"] == pytest.approx(1 / 3), "below 1"


def test_a_loss_without_end_at_share_0():
    middle = {k: float(np.exp(c.prior.parameters["mu"])) for k, c in models.dcpt_l5.coefficients.items()}
    table = on_draws("dcpt_l5", [middle, middle | {"sigma_other": 0.0}])
    assert table.loc[("adaptability", "domain_share"), "probability"] == 0.5


def test_both_losses_and_every_group():
    """The general loss falls in its own share, which is 1 minus the domain's."""
    rows = simulated(0).table
    rows = pd.concat([rows.assign(domain=d, run=d + " " + rows["run"]) for d in ("code", "law")])
    rows["general_loss"] = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, 1 - rows["domain_share"], **TRUTH)
    fit = bl.Model(models.dcpt, bl.read_runs(rows), by={"B": "domain"}, misfit=None).prior_predictive(draws=30)
    table = bl.requirements(fit)
    assert list(table.columns) == ["requirement", "along", "eval", "domain", "probability", "worst"]
    assert len(table) == 6 * 2 * 2
    told = table[table["requirement"] == TREND]
    assert (told["probability"] > 0.7).all(), "the shape prior asks for it, give or take a hundredth of a nat"
    by_size = bl.Model(models.dcpt, bl.read_runs(rows), by={"E": "N"}, misfit=None).prior_predictive(draws=30)
    assert set(bl.requirements(by_size)["along"]) == {"domain_share", "D", "share", "D, share"}


def test_refusals():
    fit = bl.Model(models.dcpt, simulated(0), misfit=None).prior_predictive(draws=5)
    for wrong in ((2e9, 1e9), (0, 1e9), 5e9, (1e9, np.nan)):
        with pytest.raises(RangeError, match="the range of D is .*: give its smallest and its largest value"):
            bl.requirements(fit, D=wrong)
    with pytest.raises(RangeError, match="the range of domain_share"):
        bl.requirements(fit, domain_share=(10, 90))
    with pytest.raises(UnknownName, match="did you mean 'domain_share'"):
        bl.requirements(fit, domain_shar=(0.1, 0.9))
    mixture = pd.DataFrame({"weight_a": [0.2, 0.5, 0.8], "weight_b": [0.8, 0.5, 0.2], "loss": [2.0, 2.1, 2.2]})
    with pytest.raises(LawError, match="many sources"):
        bl.requirements(bl.Model(models.regmix, bl.read_runs(mixture), misfit=None).prior_predictive(draws=5))
