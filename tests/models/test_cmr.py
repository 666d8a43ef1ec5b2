"""The CMR laws: the published chain from tables to the critical ratio, and real runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq, curve_fit

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError, LawError, RangeError
from bayeslaw.models.cmr import box_cox, cmr, critical_share
from bayeslaw.models.cmr import turning_point as turning_tokens
from bayeslaw.workflow import Fit

TOKENS_PER_STEP = 1_048_576
"""Of the Pythia runs, by the card of the data."""

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
TABLE_4_DOMAIN = {
    "460M": {
        1 / 8: (0.71989, -0.08343),
        1 / 4: (24.62425, -0.0019),
        1 / 3: (97.25206, -0.0005),
        1 / 2: (227.0696, -0.00023),
    },
    "940M": {
        1 / 8: (129.70296, -0.00031),
        1 / 4: (222.52376, -0.0002),
        1 / 3: (248.51191, -0.00018),
        1 / 2: (258.06226, -0.00019),
    },
    "1.6B": {
        1 / 8: (210.06851, -0.00018),
        1 / 4: (4.92547, -0.00864),
        1 / 3: (133.08715, -0.00032),
        1 / 2: (258.78683, -0.00017),
    },
    "3.1B": {
        1 / 8: (7.55302, -0.00463),
        1 / 4: (133.0323, -0.00028),
        1 / 3: (128.57034, -0.00031),
        1 / 2: (156.20051, -0.00027),
    },
}
TABLE_5 = {"460M": 0.29762, "940M": 0.34886, "1.6B": 0.41434, "3.1B": 0.47828}


def turning_point(a1: float, s1: float, a2: float, s2: float, _: float) -> float:
    """Tokens (in 0.2e9) where a1 T^s1 + a2 T^s2 turns."""
    return float((-a1 * s1 / (a2 * s2)) ** (1 / (s2 - s1)))


def critical_point(size: str, share: float, weight: float = np.inf) -> float:
    """Tokens (in 0.2e9) from which domain loss + weight x general loss of table 4 falls."""
    a1, s1, a2, s2, b = TABLE_4[size][share]
    turn = turning_point(a1, s1, a2, s2, b)
    if np.isinf(weight):
        return turn
    a3, s3 = TABLE_4_DOMAIN[size][share]

    def slope(T: float) -> float:
        return float(a3 * s3 * T**s3 + weight * (a1 * s1 * T**s1 + a2 * s2 * T**s2))

    peak_of_slope = turn * np.exp(-1 / s1)
    return float(brentq(slope, peak_of_slope, turn))


def chain(size: str, weight: float = np.inf) -> float:
    """The critical ratio at 20e9 tokens: critical points of four shares, and the paper's law through them."""
    share = np.array(list(TABLE_4[size]))
    tokens = np.array([critical_point(size, r, weight) for r in TABLE_4[size]])

    def law(T: np.ndarray, R_100: float, k: float, s: float) -> np.ndarray:
        ratio: np.ndarray = R_100 + k * box_cox(T / 100, s)
        return ratio

    return float(curve_fit(law, tokens, share, p0=[0.35, 0.2, 0.1])[0][0])


@pytest.mark.parametrize("size", TABLE_4)
def test_the_chain_from_table_4_to_the_critical_ratio(size):
    assert abs(chain(size) - TABLE_5[size]) < 0.006


def test_smaller_multipliers_allow_more_of_the_new_domain():
    """The paper takes lambda from 100 to 7000; its own ratios are those of the limit."""
    for weight, expected in ((1000, (0.302, 0.358, 0.414, 0.484)), (100, (0.335, 0.393, 0.445, 0.511))):
        np.testing.assert_allclose([chain(size, weight) for size in TABLE_4], expected, atol=0.001)


@pytest.mark.parametrize("size", TABLE_4)
def test_odds_that_are_a_power_of_tokens_give_nearly_the_same_ratio(size):
    """The law of the catalogue: two coefficients instead of three, inside (0, 1) at any tokens."""
    share = np.array(list(TABLE_4[size]))
    tokens = np.array([turning_point(*row) for row in TABLE_4[size].values()])

    def law(T: np.ndarray, log_odds: float, kappa: float) -> np.ndarray:
        ratio: np.ndarray = critical_share(T / 100, odds_ref=np.exp(log_odds), kappa=kappa)
        return ratio

    best, _ = curve_fit(law, tokens, share, p0=[-0.5, 1.0])
    assert law(np.array(100.0), *best) == pytest.approx(TABLE_5[size], abs=0.02)
    low, high = law(np.array([1e-3, 1e6]), *best)
    assert low > 0 and high < 1


@pytest.mark.parametrize(("size", "p"), [("460M", 1.6), ("940M", 1.5), ("1.6B", 1.3), ("3.1B", 0.9)])
def test_the_height_of_the_peak_is_an_exponential_of_the_share(size, p):
    """As the general law has it; a power of the share misses the same peaks by 10 %."""
    share, heights = np.array(list(TABLE_4[size])), []
    for a1, s1, a2, s2, b in TABLE_4[size].values():
        turn = turning_point(a1, s1, a2, s2, b)
        heights.append(np.log(a1 * turn**s1 + a2 * turn**s2))
    slope, start = np.polyfit(2 * share - 1, heights, 1)
    assert slope == pytest.approx(p, abs=0.06)
    missed = heights - (start + slope * (2 * share - 1))
    power = heights - np.polyval(np.polyfit(np.log(share), heights, 1), np.log(share))
    assert np.std(missed) < 0.05 and np.std(power) > 0.09


def test_the_general_law_peaks_at_its_turning_point():
    c = dict(L_start=2.0, h=0.02, p=1.5, s=0.5, odds_ref=0.6, kappa=1.1)
    turn = {k: c[k] for k in ("odds_ref", "kappa")}
    for share in (0.2, 0.5, 0.8):
        at = turning_tokens(share, **turn)
        below, peak, above = (models.cmr_general(at * f, share, **c) for f in (0.99, 1.0, 1.01))
        assert below < peak > above and peak == pytest.approx(2.0 + 0.02 * np.exp(1.5 * (2 * share - 1)))
        assert critical_share(at, **turn) == pytest.approx(share)
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
    fit = bl.Model(models.cmr_ratio, bl.read_runs(rows.assign(run=["a", "b", "c"])), misfit=None).fit(method="mle")
    found = fit.predict(domain_share=0.25).draws.item()
    assert found == pytest.approx(1.5567, abs=0.001)  # a plain least-squares fit
    assert found == pytest.approx(1.5561, abs=0.002)  # measured


def test_shares_of_0_and_1_stay_out_of_the_fit():
    rows = pd.DataFrame({"run": list("abcd"), "domain_share": [0.0, 0.04, 0.5, 1.0], "D": 1e10})
    for law in (models.cmr_general, models.cmr_domain, models.cmr_ratio):
        loss = {"domain_loss" if law is models.cmr_domain else "general_loss": 2.0}
        design = bl.Model(law, bl.read_runs(rows[["run", *law.columns]].assign(**loss)), misfit=None).design
        assert design.measured.values.ravel().tolist() == [False, False, True, False]
        values = law(*(np.array([0.0, 1.0]) for _ in law.covariates), **{c: 0.5 for c in law.coefficients})
        assert np.isfinite(values).all(), "rows left out still have a value, and a gradient"


def stand_in(law: Any, *draws: dict[str, float]) -> Any:
    """A fit whose draws are given: one chain, one validation set."""
    (name,) = law.evals
    rows = pd.DataFrame({"run": ["a", "b"], "D": [1e9, 2e10], "domain_share": 0.5, f"{name}_loss": 2.0})
    given = {k: (("chain", "draw", "eval"), np.array([[[d[k]] for d in draws]])) for k in law.coefficients}
    posterior = xr.Dataset(given, {"chain": [0], "draw": np.arange(len(draws)), "eval": [name]})
    posterior["sigma"] = xr.full_like(posterior[next(iter(given))], 0.005)
    return Fit(bl.Model(law, bl.read_runs(rows), misfit=None), xr.DataTree.from_dict({"posterior": posterior}))


GENERAL = dict(L_start=2.5, h=0.02, p=1.5, s=0.5, odds_ref=0.6, kappa=1.1)
DOMAIN = dict(L_ref=1.5, k_R=0.08, p=0.2, k_D=0.05, s=-0.05)


@pytest.mark.parametrize("weight", [100.0, 1000.0, 7000.0])
def test_the_papers_goal_turns_where_its_derivative_is_0(weight):
    """Domain loss + lambda x general loss: the slopes by hand, at 10e9 tokens."""
    D = 0.5

    def slope(share: float) -> float:
        x = D / turning_tokens(share, odds_ref=0.6, kappa=1.1)
        fall = -DOMAIN["k_D"] * D ** DOMAIN["s"]
        return float(-weight * 0.02 * np.exp(1.5 * (2 * share - 1)) * 0.25 * x**0.5 * np.log(x) + fall)

    general, domain = stand_in(models.cmr_general, GENERAL), stand_in(models.cmr_domain, DOMAIN)
    found = general.critical_ratio(D=1e10, rule="turning-point", weight=weight, beside=domain)
    assert found.draws.item() == pytest.approx(brentq(slope, 0.06, 0.9), abs=1e-4)
    assert found.inputs["weight"] == weight
    alone = general.critical_ratio(D=1e10, rule="turning-point").draws.item()
    assert alone < found.draws.item(), "the falling domain loss makes room"
    if weight == 7000:
        assert found.draws.item() == pytest.approx(alone, abs=0.01), "which shrinks as lambda grows"


def test_turning_points_at_several_tokens_keep_their_labels():
    fit, domain = (
        stand_in(models.cmr_general, GENERAL, GENERAL | {"odds_ref": 0.9}),
        stand_in(models.cmr_domain, DOMAIN),
    )
    D = [5e9, 2e10, 4e10]
    found = fit.critical_ratio(D=D, rule="turning-point")
    assert found.draws.dims == ("chain", "draw", "D") and found.draws["D"].values.tolist() == D
    one = [fit.critical_ratio(D=d, rule="turning-point").draws.values for d in D]
    np.testing.assert_allclose(found.draws, np.stack(one, axis=-1), atol=1e-9)
    np.testing.assert_allclose(found.probability_safe(0.4), [0, 0.5, 1])

    ask: dict[str, Any] = {"D": 1e10, "rule": "turning-point"}
    with pytest.raises(DataError, match="needs the domain loss: give its fit as beside="):
        fit.critical_ratio(**ask, weight=1000)
    with pytest.raises(DataError, match="1 x 2 and 1 x 1 draws, which cannot be paired"):
        fit.critical_ratio(**ask, weight=1000, beside=domain)
    with pytest.raises(RangeError, match="weight is -1"):
        fit.critical_ratio(**ask, weight=-1, beside=domain)
    with pytest.raises(RangeError, match="'break-even' weighs no losses"):
        fit.critical_ratio(D=1e10, rule="break-even", baseline=2.5, weight=1000)


def converged(fit: Any, r_hat: float = 1.05) -> bool:
    """Whether the chains agree and no draw diverged; the few draws of a test allow no more than 1.05."""
    return bool(fit.summary()["r_hat"].max() < r_hat and fit.idata["sample_stats"]["diverging"].sum() == 0)


def test_break_even_of_pythia_holds_what_the_fifth_run_and_the_mixing_law_say(pythia):
    """Four shares fitted, under two priors of the run effect; the fifth run ends at 2.8721 nats.

    Base loss 2.873368; the paper of the data mixing law has its break-even Pile share at .287, a line through the
    measured losses at .280.
    """
    table, held_out = pythia
    table = table.assign(D=table["step"] * TOKENS_PER_STEP)
    runs = bl.read_runs(table.loc[~held_out, ["run", "D", "domain_share", "general_loss"]])
    last, share = table["D"].max(), table.loc[held_out, "domain_share"].iloc[0]
    for weight in (0.4, 0.8):
        noise = bl.Noise(run_weight=bl.share(weight, weight=20))
        model = bl.Model(models.cmr_general, runs, noise=noise, reference={"D": 1e10}, misfit=None)
        fit = model.fit(draws=300, chains=2, tune=500, seed=1, progress=False)
        assert converged(fit)
        new = fit.predict(D=last, domain_share=share, new_run=True).interval().squeeze()
        assert new["lower"] < 2.8721 < new["upper"] and new["upper"] - new["lower"] < 0.04
        even = fit.critical_ratio(D=last, rule="break-even", baseline=2.873368)
        pile = 1 - even.interval()
        assert pile["upper"] < 0.280 and pile["lower"] > 0.287
        assert even.p_interior == 1 and 0.02 < pile["lower"] - pile["upper"] < 0.1
        assert even.probability_safe(0.6) > 0.95 and even.probability_safe(0.8) < 0.05


def test_critical_ratios_of_four_sizes_by_one_model():
    """tinycpt, all sizes, shares and tokens in one model; the noise known from runs that were repeated."""
    table = bl.datasets.load("tinycpt").query("schedule == 'constant'")
    used = table.query("100 <= step and .05 < domain_share < .95")
    repeats = np.log(used["general_loss"]).groupby([used[c] for c in ("N", "domain_share", "D")])
    sd = float(np.sqrt(repeats.var().mul(repeats.count() - 1).sum() / (repeats.count() - 1).sum()))
    assert sd == pytest.approx(0.0027, abs=1e-4)
    model = bl.Model(
        models.cmr_general,
        bl.read_runs(used[["run", "N", "D", "domain_share", "general_loss"]]),
        by=dict.fromkeys(("L_start", "h", "odds_ref"), "N"),
        priors={"L_start": bl.positive(3.8, spread=0.3), "h": bl.positive(0.1, spread=0.7)},
        noise=bl.Noise(sigma=bl.positive(sd, spread=0.25)),
        reference={"D": 1.5e6},
        misfit=None,
    )
    fit = model.fit(draws=300, chains=2, tune=500, seed=1, progress=False)
    assert converged(fit)
    assert fit.posterior["sigma"].mean() < 1.6 * sd, "most of the misfit is the noise of repeated runs"
    N, base = np.sort(used["N"].unique()), [4.335, 3.949, 3.712, 3.435]
    even = fit.critical_ratio(N=N, D=1.5e6, rule="break-even", baseline=base)
    ends = even.interval()
    for n, crossing in enumerate((0.23, 0.29, 0.39)):  # between the last losses of single runs
        assert ends["lower"][n] < crossing < ends["upper"][n]
    assert even.median()[3] == pytest.approx(0.64, abs=0.03)
    turn = fit.critical_ratio(N=N, D=[2e5, 5e5, 1.5e6], rule="turning-point").median()
    assert (turn.diff("D") > 0).all() and turn.sel(N=N[0], D=1.5e6) < turn.sel(N=N[3], D=1.5e6)


@pytest.mark.parametrize(("law", "other"), [(models.cmr_general, "domain"), (models.cmr_domain, "general")])
def test_real_runs_are_described_but_not_their_decay(law, other, pythia):
    """Pythia-70M at four shares, and the fifth.

    The runs flatten at their end, as a decaying rate makes them; a law of tokens alone goes on falling.
    """
    table, held_out = pythia
    table = table.assign(D=table["step"] * TOKENS_PER_STEP).drop(columns=f"{other}_loss")
    (loss,) = (c for c in table if c.endswith("_loss"))

    def errors(fitted: Any) -> pd.Series:
        fit = bl.Model(law, bl.read_runs(table[fitted & ~held_out].drop(columns="step")), misfit=None).fit(method="mle")
        columns = xr.Dataset({c: ("row", table[c].to_numpy()) for c in law.columns})
        error: pd.Series = fit.loss(columns).values.squeeze() - table[loss]
        return error

    error = errors(table["step"] > 0)
    assert np.sqrt((error[~held_out] ** 2).mean()) < 0.006
    assert abs(error[held_out].iloc[-1]) < 0.006
    assert errors(table["step"] <= 7000)[table["step"] > 7000].mean() < -0.004


# ----------------------------------------------------------------------------------------------- both losses in one fit
BOTH = dict(h=0.02, p=1.5, s=0.5, odds_ref=0.6, kappa=1.1, k_R=0.08, s_R=0.2, k_D=0.05, s_D=-0.05)
LEVELS = {"general": 2.5, "domain": 1.5}


def both_losses(noise: float = 0.001, correlation: float = 0.8) -> bl.Runs:
    """Ten simulated runs of five checkpoints: errors of whole runs, correlated between the losses."""
    rng = np.random.default_rng(0)
    rows = [
        {"run": f"run {i}", "D": D, "domain_share": share}
        for i, share in enumerate(np.tile([0.15, 0.3, 0.5, 0.7, 0.85], 2))
        for D in (2e9, 5e9, 1e10, 2e10, 4e10)
    ]
    table = pd.DataFrame(rows)
    errors = rng.multivariate_normal([0, 0], noise**2 * np.array([[1, correlation], [correlation, 1]]), len(table))
    x, share = (table["D"] / 2e10).to_numpy(), table["domain_share"].to_numpy()
    for number, (role, level) in enumerate(LEVELS.items()):
        loss = cmr(x, share, np.full(len(x), float(role == "general")), L=level, **BOTH)
        table[f"{role}_loss"] = loss * np.exp(errors[:, number])
    return bl.read_runs(table)


def test_the_joint_law_is_the_two_laws():
    share, D = np.array([0.1, 0.5, 0.9]), np.array([0.1, 1.0, 3.0])
    of = {k: v for k, v in BOTH.items() if k in models.cmr_general.coefficients}
    assert (cmr(D, share, np.ones(3), L=2.5, **BOTH) == models.cmr_general(D, share, L_start=2.5, **of)).all()
    alone = models.cmr_domain(D, share, L_ref=1.5, k_R=0.08, p=0.2, k_D=0.05, s=-0.05)
    assert (cmr(D, share, np.zeros(3), L=1.5, **BOTH) == alone).all()
    for name, coefficient in models.cmr_general.coefficients.items():
        if name in cmr.coefficients:
            joint = cmr.coefficients[name]
            assert (joint.prior, joint.why, joint.role) == (coefficient.prior, coefficient.why, "general")


def test_the_joint_law_finds_what_was_simulated_and_keeps_it(tmp_path):
    """A table with both columns needs no preparation; one fit answers the paper's goal, before and after saving."""
    fit = bl.Model(cmr, both_losses(), misfit=None).fit(draws=300, chains=2, seed=1, progress=False)
    assert converged(fit)
    for name, true in BOTH.items():
        ends = np.quantile(fit.posterior[name], [0.005, 0.995])
        assert fit.posterior[name].dims == ("chain", "draw") and ends[0] < true < ends[1], name
    level = fit.posterior["L"].quantile([0.005, 0.995], ["chain", "draw"])
    for role, true in LEVELS.items():
        assert level.sel(eval=role)[0] < true < level.sel(eval=role)[1]
    assert fit.posterior["eval_correlation"].quantile(0.055) > 0.3, "the errors of both losses are one"

    true = brentq(lambda share: turning_tokens(share, odds_ref=0.6, kappa=1.1) - 0.5, 0.06, 0.9)
    turn = fit.critical_ratio(D=1e10, rule="turning-point")
    assert turn.interval()["lower"] < true < turn.interval()["upper"]
    goal: dict[str, Any] = {"D": 1e10, "rule": "turning-point", "weight": 1000}
    paper = fit.critical_ratio(**goal)
    assert (paper.draws > turn.draws).mean() > 0.95, "the falling domain loss makes room"
    again = bl.load(fit.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(again.critical_ratio(**goal).draws, paper.draws)
    assert not [c for c in fit.checks() if "could not be checked" in c.text]


def test_the_joint_law_needs_one_loss_of_each_role():
    runs = both_losses()
    with pytest.raises(DataError, match="cmr describes one domain loss, and the table has 0"):
        bl.Model(cmr, bl.read_runs(runs.table.drop(columns="domain_loss")), misfit=None)
    two = runs.table.assign(law_loss=runs.table["domain_loss"])
    with pytest.raises(DataError, match="cmr describes one domain loss, and the table has 2"):
        bl.Model(cmr, bl.read_runs(two), roles={"law": "domain"}, misfit=None)
    assert bl.suggest(runs)["cmr"].command.startswith("bl.Model(bl.models.cmr, runs")
    with pytest.raises(LawError, match="seen_along and floor are for coefficients of all losses"):
        bl.Coefficient(bl.positive(1.0, 1.0), "1", "height", "a reason", seen_along="D", role="domain")
