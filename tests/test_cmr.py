"""The CMR laws: the published chain from tables to the critical ratio, and real runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import curve_fit

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.models import cmr

TABLE_4: dict[str, dict[float, tuple[float, ...]]] = {
    "460M": {
        1 / 8: (0.13055, 0.48615, -0.12803, 0.48955, -0.00055),
        1 / 4: (0.14030, 0.51526, -0.13758, 0.51836, -0.00018),
        1 / 3: (0.11761, 0.53594, -0.11471, 0.53971, 0.00002),
        1 / 2: (0.12446, 0.57575, -0.12123, 0.57941, 0.00050),
    },
    "940M": {
        1 / 8: (0.12685, 0.48822, -0.12468, 0.49141, 0.00013),
        1 / 4: (0.11006, 0.51700, -0.10785, 0.52040, 0.00046),
        1 / 3: (0.10418, 0.52619, -0.10186, 0.52970, 0.00063),
        1 / 2: (0.09454, 0.57282, -0.09209, 0.57654, 0.00101),
    },
    "1.6B": {
        1 / 8: (0.10378, 0.51241, -0.10198, 0.51585, 0.00007),
        1 / 4: (0.08747, 0.53775, -0.08564, 0.54152, 0.00034),
        1 / 3: (0.08952, 0.54505, -0.08764, 0.54858, 0.00050),
        1 / 2: (0.07899, 0.57219, -0.07702, 0.57587, 0.00084),
    },
    "3.1B": {
        1 / 8: (0.09549, 0.49146, -0.09320, 0.49629, 0.01001),
        1 / 4: (0.08084, 0.51463, -0.07866, 0.51973, 0.01034),
        1 / 3: (0.08406, 0.51263, -0.08187, 0.51724, 0.01056),
        1 / 2: (0.06324, 0.52050, -0.06100, 0.52592, 0.01093),
    },
}
TABLE_5 = {"460M": 0.29762, "940M": 0.34886, "1.6B": 0.41434, "3.1B": 0.47828}


def turning_point(a1: float, s1: float, a2: float, s2: float, _: float) -> float:
    """Tokens (in 0.2e9) where a1 T^s1 + a2 T^s2 turns."""
    return float((-a1 * s1 / (a2 * s2)) ** (1 / (s2 - s1)))


@pytest.mark.parametrize("size", TABLE_4)
def test_the_chain_from_table_4_to_the_critical_ratio(size):
    share = np.array(list(TABLE_4[size]))
    tokens = np.array([turning_point(*row) for row in TABLE_4[size].values()])

    def law(T: np.ndarray, R_100: float, k: float, s: float) -> np.ndarray:
        ratio: np.ndarray = R_100 + k * cmr.box_cox(T / 100, s)
        return ratio

    (R_100, _, _), _ = curve_fit(law, tokens, share, p0=[0.35, 0.2, 0.1])
    assert abs(R_100 - TABLE_5[size]) < 0.006


@pytest.mark.parametrize("size", TABLE_4)
def test_odds_that_are_a_power_of_tokens_give_nearly_the_same_ratio(size):
    """The law of the catalogue: two coefficients instead of three, inside (0, 1) at any tokens."""
    share = np.array(list(TABLE_4[size]))
    tokens = np.array([turning_point(*row) for row in TABLE_4[size].values()])

    def law(T: np.ndarray, log_odds: float, kappa: float) -> np.ndarray:
        ratio: np.ndarray = cmr.critical_share(T / 100, odds_ref=np.exp(log_odds), kappa=kappa)
        return ratio

    best, _ = curve_fit(law, tokens, share, p0=[-0.5, 1.0])
    assert law(np.array(100.0), *best) == pytest.approx(TABLE_5[size], abs=0.02)
    low, high = law(np.array([1e-3, 1e6]), *best)
    assert low > 0 and high < 1


def test_the_general_law_peaks_at_its_turning_point():
    c = dict(L_start=2.0, h=0.02, p=1.5, s=0.5, odds_ref=0.6, kappa=1.1)
    turn = {k: c[k] for k in ("odds_ref", "kappa")}
    for share in (0.2, 0.5, 0.8):
        at = cmr.turning_point(share, **turn)
        below, peak, above = (models.cmr_general(at * f, share, **c) for f in (0.99, 1.0, 1.01))
        assert below < peak > above and peak == pytest.approx(2.0 + 0.02 * (2 * share) ** 1.5)
        assert cmr.critical_share(at, **turn) == pytest.approx(share)
    units = models.cmr_general.paper_units
    assert units and units(odds_ref=0.6) == {"R_ref": pytest.approx(0.375)}


def test_the_general_law_is_the_limit_of_the_papers_two_powers():
    """Within 1e-5 nats of the curve of table 4 at 460M and a half, from 1e9 to 20e9 tokens."""
    a1, s1, a2, s2, b = TABLE_4["460M"][1 / 2]
    T = np.linspace(5, 100, 20)
    turn, s = turning_point(a1, s1, a2, s2, b), (s1 + s2) / 2
    height = a1 * turn**s1 + a2 * turn**s2
    kappa = 1.0
    odds_ref = (turn / 100) ** -kappa
    law = models.cmr_general(T / 100, 0.5, L_start=b, h=height, p=1.0, s=s, odds_ref=odds_ref, kappa=kappa)
    np.testing.assert_allclose(law, a1 * T**s1 + a2 * T**s2 + b, atol=1e-5)


def test_loss_against_share_predicts_the_papers_held_out_quarter():
    """Table 2, domain loss of 460M: fitted without 25 % and without the end of 100 %, as the paper does."""
    rows = pd.DataFrame({"domain_share": [0.75, 0.5, 1 / 3], "domain_loss": [1.4844, 1.5122, 1.5387]})
    fit = bl.Model(models.cmr_ratio, bl.read_runs(rows.assign(run=["a", "b", "c"]))).fit(method="mle")
    found = fit.predict(domain_share=0.25).draws.item()
    assert found == pytest.approx(1.5567, abs=0.001)  # a plain least-squares fit
    assert found == pytest.approx(1.5561, abs=0.002)  # measured


@pytest.mark.parametrize(("law", "other"), [(models.cmr_general, "domain"), (models.cmr_domain, "general")])
def test_real_runs_are_described_but_not_their_decay(law, other, pythia):
    """Pythia-70M at four shares, and the fifth; tokens per step are assumed (2.1e6).

    The runs flatten at their end, as a decaying rate makes them; a law of tokens alone goes on falling.
    """
    table, held_out = pythia
    table = table.assign(D=table["step"] * 2_097_152).drop(columns=f"{other}_loss")
    (loss,) = (c for c in table if c.endswith("_loss"))

    def errors(fitted: Any) -> pd.Series:
        fit = bl.Model(law, bl.read_runs(table[fitted & ~held_out].drop(columns="step"))).fit(method="mle")
        columns = xr.Dataset({c: ("row", table[c].to_numpy()) for c in law.columns})
        error: pd.Series = fit.loss(columns).values.squeeze() - table[loss]
        return error

    error = errors(table["step"] > 0)
    assert np.sqrt((error[~held_out] ** 2).mean()) < 0.006
    assert abs(error[held_out].iloc[-1]) < 0.006
    assert errors(table["step"] <= 7000)[table["step"] > 7000].mean() < -0.004
