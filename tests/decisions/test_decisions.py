"""Decisions on a stub posterior: a handful of coefficient sets, evaluated through the law."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.optimize import brentq, minimize_scalar

from bayeslaw import models
from bayeslaw.decisions import question
from bayeslaw.decisions.allocation import allocation, of_the_study
from bayeslaw.decisions.best_ratio import best_ratio
from bayeslaw.decisions.critical_ratio import CriticalRatio, critical_ratio
from bayeslaw.declare.laws import Law
from bayeslaw.errors import BayeslawError, DataError, LawError, RangeError, UnknownName
from bayeslaw.reporting.ratios import _limit
from tests.stand_ins import stand_in

COMMON = {"E": 1.5, "A": 0.4, "alpha": 0.3, "B": 0.1, "beta": 0.3, "eta": 1.2, "C": 0.4, "gamma": 0.35, "eps": 0.08}
BASE = 2.8602
"""The general loss before training of the paper's usage 1 (chemistry, 1.8e9 parameters)."""

LIMITS: tuple[dict[str, Any], ...] = ({"max_rise": -0.02}, {"max_increase": -0.1}, {"max_increase": 0.0})


@dataclass
class StubFit:
    """The interface of a fit, on given draws (one dict of coefficients each, the same for every loss)."""

    sets: list
    law: Law = models.dcpt
    evals: list = field(default_factory=lambda: ["general", "domain"])
    outside: str = "exclude"
    baseline: pd.DataFrame = field(default_factory=pd.DataFrame)
    sigma: float = 0.01
    sizes: list = field(default_factory=list)
    kept: dict = field(default_factory=dict)
    method: str = "prior"
    mean_name: str = "mean law"
    settings: dict = field(default_factory=dict)
    sampled: bool = False
    processes: dict = field(default_factory=dict)

    @property
    def model(self):
        measured = pd.DataFrame({f"{e}_loss": [2.0, 3.0] for e in self.evals})
        runs = SimpleNamespace(table=measured, baseline=self.baseline)
        design = SimpleNamespace(
            law=self.law,
            groups={},
            levels={},
            roles=self.evals,
            of_role=lambda role: [e for e in self.evals if e == role],
            with_evals=lambda columns: columns.assign_coords(eval=self.evals),
        )
        settings = {"law": self.law, "reference": self.law.reference(), "runs": runs, "outside": self.outside}
        return SimpleNamespace(**settings, design=design, beyond_the_law=[], unit="nats per token")

    def labels(self):
        return {"chain": [0], "draw": np.arange(len(self.sets)), "eval": self.evals}

    def coefficient(self, name):
        values = [[[d[name]] * len(self.evals) for d in self.sets]]
        return xr.DataArray(values, dims=("chain", "draw", "eval"), coords=self.labels())

    def columns(self, **given):
        for name in given:
            if name not in (*self.law.columns, "domain"):
                raise UnknownName(name)
        return xr.Dataset({k: xr.DataArray(v) if np.ndim(v) == 0 else (k, np.asarray(v)) for k, v in given.items()})

    def loss(self, columns, new_run=False, seed=0):
        inputs = self.law.inputs(columns.assign_coords(eval=self.evals), self.model.reference)
        loss = self.law(*inputs.values(), **{c: self.coefficient(c) for c in self.law.coefficients})
        self.sizes.append(loss.size)
        return loss * np.exp(self.error(seed)) if new_run else loss

    def error(self, seed, columns=None):
        shape = [len(v) for v in self.labels().values()]
        noise = self.sigma * np.random.default_rng(seed).standard_normal(shape)
        return xr.DataArray(noise, dims=("chain", "draw", "eval"), coords=self.labels())


def stub(*args: Any, **changed: Any) -> Any:
    """Return a stub in place of a fit."""
    return StubFit(*args, **changed)


def general(share, N=1.8, D=1.0, **changed):
    """The law by hand: N in 1e9 parameters, D in 1e10 tokens, for the general loss at a domain share."""
    c = COMMON | changed
    r = 1 - share
    size, tokens = c["A"] * N ** -c["alpha"], c["B"] * r ** c["eta"] * D ** -c["beta"]
    return c["E"] + size + tokens + c["C"] * (r + c["eps"]) ** -c["gamma"]


def with_E(*E):
    return [COMMON | {"E": e} for e in E]


def test_roots_are_exact_and_every_draw_is_kept():
    fit = stub(with_E(1.6, 1.65, 1.75, 5.0, 0.5))
    r = critical_ratio(fit, N=1.8e9, D=1e10, baseline=2.55, max_rise=0.03)
    limit = 2.55 * 1.03
    expected = [brentq(lambda s, e=e: general(s, E=e) - limit, 0, 0.9, xtol=1e-14) for e in (1.6, 1.65, 1.75)]
    np.testing.assert_allclose(r.draws.values[0, :3], expected, atol=1e-9)
    assert list(r.draws.values[0, 3:]) == [0.0, 0.9], "never safe at the lower end, always safe at the upper end"
    assert (r.p_never, r.p_interior, r.p_always) == (0.2, 0.6, 0.2)
    assert r.draws.dims == ("chain", "draw") and r.what == "mean law" and r.unit == "1"
    assert r.inputs["range"] == (0.0, 0.9) and r.inputs["baseline"] == 2.55
    assert r.as_json()["p_never"] == 0.2 and r.as_json()["baseline"] == 2.55


def test_usage_1_of_the_paper():
    """A general law drawn through the measured 0.9 and 1.0 rows of table 5 crosses 3 % near the paper's 0.924."""
    C, eps, gamma, E = 0.052, 0.0256, 0.747, 2.658
    draw = COMMON | {"E": E, "A": 1e-12, "B": 1e-12, "C": C, "gamma": gamma, "eps": eps}
    r = critical_ratio(stub([draw], outside="include"), N=1.8e9, D=1e10, baseline=BASE, max_rise=0.03)
    assert r.draws.item() == pytest.approx(0.9245, abs=0.002)


def test_confined_to_the_range_unless_rows_outside_were_included():
    draws = with_E(1.5)
    limit: dict[str, Any] = {"N": 1.8e9, "D": 1e10, "baseline": float(general(0.95)), "max_rise": 0}
    confined = critical_ratio(stub(draws), **limit)
    assert confined.high == 0.9 and confined.text() == ">= 0.9" and confined.p_always == 1
    free = critical_ratio(stub(draws, outside="include"), **limit)
    assert free.draws.item() == pytest.approx(0.95, abs=1e-9)
    assert free.high == 1.0
    domain = critical_ratio(stub(draws), eval="domain", **limit)
    assert domain.low == pytest.approx(0.1)


def test_only_the_component_of_the_smallest_share_counts():
    """A domain loss that is U-shaped in its share can be safe again further up: that part does not count."""
    draw = COMMON | {"B": 2.0, "eta": 3.0, "C": 0.1, "gamma": 1.0}
    fit = stub([draw])
    shares = np.linspace(0.1, 1, 1001)
    loss = fit.loss(fit.columns(N=1e9, D=1e10, domain_share=shares)).sel(eval="domain").squeeze()
    limit = float(loss[0]) - 0.05
    assert (loss <= limit).any(), "safe further up"
    never = critical_ratio(fit, N=1e9, D=1e10, baseline=limit, eval="domain")
    assert never.p_never == 1 and "larger ones still may be" in never.note
    limit = float(loss[0]) + 0.3
    first = critical_ratio(fit, N=1e9, D=1e10, baseline=limit, eval="domain").draws.item()
    assert first == pytest.approx(shares[np.argmax(loss.values > limit)], abs=1e-3)


def test_limits_and_rules():
    fit = stub(with_E(1.5))
    ask: dict[str, Any] = {"N": 1.8e9, "D": 1e10, "baseline": 2.4}
    by_rise = critical_ratio(fit, **ask, max_rise=0.05).draws
    by_nats = critical_ratio(fit, **ask, max_increase=0.12).draws
    np.testing.assert_allclose(by_rise, by_nats, atol=1e-9)
    xr.testing.assert_equal(critical_ratio(fit, **ask).draws, critical_ratio(fit, **ask, rule="break-even").draws)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"max_rise": 0.1, "max_increase": 0.1}, RangeError, "are two limits: give one of them"),
        ({"max_rise": 3}, RangeError, "0.03"),
        ({"max_increase": np.nan}, RangeError, "finite"),
        ({"rule": "break-even", "max_rise": 0.1}, RangeError, "no tolerance"),
        ({"rule": "breakeven"}, UnknownName, "did you mean 'break-even'"),
        ({"eval": "generl"}, UnknownName, "did you mean 'general'"),
    ]
    for wrong, error, text in refused:
        with pytest.raises(error, match=text):
            critical_ratio(fit, **ask, **wrong)


def test_a_turning_point_takes_a_law_that_bends():
    ask: dict[str, Any] = {"N": 1.8e9, "D": 1e10, "baseline": 2.4, "rule": "turning-point"}
    with pytest.raises(LawError, match="the law dcpt has no turning point.* such as cmr_general, cmr, or use rule="):
        critical_ratio(stub(with_E(1.5)), **ask)
    with pytest.raises(RangeError, match="has no tolerance"):
        critical_ratio(stub(with_E(1.5)), max_rise=0.1, **ask)


@pytest.mark.parametrize("D", [5e9, 2e10, 4e10])
def test_the_turning_point_is_the_laws_own(D):
    draws = [
        {"L_start": 2.5, "h": 0.02, "p": 1.5, "s": 0.5, "odds_ref": odds, "kappa": 1.1} for odds in (0.4, 0.7, 500)
    ]
    found = critical_ratio(stub(draws, law=models.cmr_general, evals=["general"]), D=D, rule="turning-point")
    odds = np.array([0.4, 0.7]) * (D / 2e10) ** 1.1
    np.testing.assert_allclose(found.draws.values[0, :2], odds / (1 + odds), atol=1e-4)
    assert found.p_always == pytest.approx(1 / 3) and "baseline" not in found.inputs


def test_baseline_forms():
    rows = pd.DataFrame({"N": [1.8e9, 1.8e9, 4e9, 1.8e9], "domain": ["law", "law", "law", "code"]})
    rows["general_loss"] = [2.5, 2.5, 2.3, 9.0]
    fit = stub(with_E(1.5, 1.55), baseline=rows)
    ask: dict[str, Any] = {"D": 1e10, "domain": "law"}
    measured = critical_ratio(fit, N=1.8e9, **ask)
    np.testing.assert_allclose(measured.draws, critical_ratio(fit, N=1.8e9, baseline=2.5, **ask).draws, atol=1e-12)
    assert measured.inputs["baseline"] == 2.5 and measured.as_json()["baseline_sd"] == 0
    assert "a baseline of 2.5 nats, taken as exact; mean law" in repr(measured)
    several = critical_ratio(fit, N=[1.8e9, 4e9], **ask)
    assert several.draws.dims == ("chain", "draw", "N")
    np.testing.assert_allclose(several.draws.isel(N=0), measured.draws, atol=1e-12)
    listed = critical_ratio(fit, N=[1.8e9, 4e9], baseline=[2.5, 2.3], **ask)
    np.testing.assert_allclose(several.draws, listed.draws, atol=1e-12)
    assert "p_always" in several.to_frame() and len(several.to_frame()) == 2
    uncertain = critical_ratio(fit, N=1.8e9, baseline=(2.5, 0.02), seed=3, **ask)
    again = critical_ratio(fit, N=1.8e9, baseline=(2.5, 0.02), seed=3, **ask)
    xr.testing.assert_equal(uncertain.draws, again.draws)
    assert not np.allclose(uncertain.draws, measured.draws, atol=1e-4)
    with pytest.raises(DataError, match="no row at D = 0 with N 7 B, domain law: give baseline="):
        critical_ratio(fit, N=7e9, **ask)
    with pytest.raises(DataError, match="no row at D = 0: give baseline="):
        critical_ratio(stub(with_E(1.5)), N=7e9, D=1e10)
    for wrong in (-1.0, "high", (2.5, 2.4), [2.5, 2.4, 2.3], np.nan):
        with pytest.raises(DataError, match="a pair \\(value, sd\\)"):
            critical_ratio(fit, N=[1.8e9, 4e9], baseline=wrong, **ask)


def test_replicates_that_disagree_make_the_baseline_uncertain():
    """Their scatter is that of the loss at every size, a model measured once included, and Student-t."""
    replicated = [2.44, 2.45, 2.45, 2.46, 2.47]
    rows = pd.DataFrame({"N": [1.8e9] * 5 + [4e9], "general_loss": [*replicated, 2.3]})
    fit = stub(with_E(*[1.5] * 4000), baseline=rows)
    ask: dict[str, Any] = {"D": 1e10, "seed": 3}
    scatter = np.log(sorted(set(replicated))).std(ddof=1)
    found = critical_ratio(fit, N=1.8e9, **ask)
    assert found.inputs["baseline"] == pytest.approx(np.mean(replicated))
    assert found.inputs["baseline_sd"] == pytest.approx(np.mean(replicated) * scatter / 2)
    assert f"a baseline of 2.454 nats (sd {found.inputs['baseline_sd']:.2g}); mean law" in repr(found)
    ends = stats.t(3, np.mean(replicated), found.inputs["baseline_sd"]).ppf([0.055, 0.945])
    exact = [critical_ratio(fit, N=1.8e9, baseline=b, **ask).median().item() for b in ends]
    np.testing.assert_allclose(found.draws.quantile([0.055, 0.945]), exact, atol=0.01)
    several = critical_ratio(fit, N=[1.8e9, 4e9], **ask)
    np.testing.assert_allclose(several.inputs["baseline_sd"], np.array([found.inputs["baseline"] / 2, 2.3]) * scatter)
    assert f"the baseline (sd up to {2.3 * scatter:.2g}); mean law" in repr(several)
    assert abs(np.corrcoef(*several.draws.values[0].T)[0, 1]) < 0.1


def test_new_run_has_one_error_over_all_shares():
    fit = stub(with_E(1.5, 1.5, 1.5))
    r = critical_ratio(fit, N=1.8e9, D=1e10, baseline=2.45, max_rise=0.02, new_run=True, seed=4)
    error = fit.error(4).sel(eval="general").values[0]
    expected = [brentq(lambda s, e=e: general(s) * np.exp(e) - 2.45 * 1.02, 0, 0.9) for e in error]
    np.testing.assert_allclose(r.draws.values[0], expected, atol=1e-9)
    assert r.what == "new run"


def test_memory_stays_bounded(monkeypatch):
    fit = stub(with_E(*np.linspace(1.4, 1.7, 50)))
    ask: dict[str, Any] = {"N": [1e9, 2e9, 3e9], "D": 1e10, "baseline": 2.5}
    whole = critical_ratio(fit, **ask).draws
    monkeypatch.setattr(question, "MOST_CELLS", 1000)
    fit.sizes.clear()
    xr.testing.assert_equal(critical_ratio(fit, **ask).draws, whole)
    assert max(fit.sizes) <= 2 * 1000


def test_a_law_without_shares_is_refused():
    draw = {"E": 1.7, "A": 0.4, "alpha": 0.3, "B": 0.4, "beta": 0.3}
    fit = stub([draw], law=models.chinchilla, evals=["validation"])
    with pytest.raises(LawError, match="does not depend on domain_share"):
        critical_ratio(fit, N=1e9, D=1e10, baseline=2.5, eval="validation")
    with pytest.raises(LawError, match="does not depend on domain_share"):
        best_ratio(fit, N=1e9, domain_tokens=1e10, eval="validation")


def test_best_ratio_per_draw():
    draws = [COMMON, COMMON | {"B": 1.0}, COMMON | {"B": 3.0, "C": 0.01}, COMMON | {"B": 1e-6}]
    r = best_ratio(stub(draws), N=1.8e9, domain_tokens=5e9)

    def loss(share, c):
        tokens = 0.5 / share
        return c["B"] * share ** c["eta"] * tokens ** -c["beta"] + c["C"] * (share + c["eps"]) ** -c["gamma"]

    for c, found in zip(draws, r.draws.values[0], strict=True):
        best = minimize_scalar(loss, bounds=(0.1, 1), args=(c,), method="bounded", options={"xatol": 1e-10}).x
        assert found == pytest.approx(best, abs=1e-5)
    assert (r.p_never, r.p_interior, r.p_always) == (0.25, 0.5, 0.25)
    assert r.draws.values[0, 2] == r.low and r.draws.values[0, 3] == r.high == 1.0
    several = best_ratio(stub(draws), N=1.8e9, domain_tokens=[1e9, 5e9])
    np.testing.assert_allclose(several.draws.sel(domain_tokens=5e9), r.draws, atol=1e-7)
    assert best_ratio(stub(draws, outside="include"), N=1.8e9, domain_tokens=5e9).low == 1e-3
    with pytest.raises(RangeError, match="domain_tokens"):
        best_ratio(stub(draws), N=1.8e9, domain_tokens=0)


def test_allocation_of_the_paper():
    """Usage 3: a = .6252, b = .3748, G = 4.1282 in billions; 5e19 FLOPs buy 15.54e9 parameters and 0.536e9 tokens."""
    a, b, G, alpha, A, share = 0.6252, 0.3748, 4.1282, 0.3, 0.4, 0.5
    beta = alpha * a / b
    B = alpha * A / (beta * G ** (alpha + beta)) / (10**beta * share ** COMMON["eta"])  # D0 is 10 billion tokens
    fit = stub([COMMON | {"A": A, "alpha": alpha, "B": B, "beta": beta}])
    q = allocation(fit, flops=5e19, domain_share=share, eval="domain")
    size, tokens = q.draws.sel(quantity="N").item(), q.draws.sel(quantity="D").item()
    assert (size / 1e9, tokens / 1e9) == pytest.approx((15.54, 0.536), rel=1e-3)
    assert size == pytest.approx(1e9 * G * (5e19 / 6e18) ** a, rel=1e-4)
    assert size * tokens * 6 == pytest.approx(5e19, rel=1e-12)
    assert (q.p_interior == 1).all() and q.note == ""
    several = allocation(fit, flops=[5e19, 1e20], domain_share=share)
    assert several.draws.dims == ("chain", "draw", "quantity", "flops")
    np.testing.assert_allclose(several.draws.sel(flops=5e19), q.draws, rtol=1e-5)


def test_allocation_counts_draws_without_an_optimum():
    law = {"E": 1.7, "A": 0.5, "alpha": 0.35, "B": 0.5, "beta": 0.37}
    fit = stub([law, law | {"B": 0.0}], law=models.chinchilla, evals=["validation"])
    q = allocation(fit, flops=1e21)
    assert q.p_interior.values.tolist() == [0.5, 0.5]
    assert q.p_always.sel(quantity="N") == 0.5 and q.p_never.sel(quantity="D") == 0.5
    assert "50 % of the draws have no optimum" in q.note
    assert "N" in repr(q) and q.as_json()["quantity"] == ["N", "D"]
    with pytest.raises(RangeError, match="FLOPs"):
        allocation(fit, flops=100)
    with pytest.raises(RangeError, match="above 0"):
        allocation(fit, flops=-1)


ATTENTION = 12 * 32 * 2048.0
"""FLOPs per token that attention adds to 6 N in a model of 32 layers and a context of 2,048, for a width of 1."""


@pytest.fixture
def sized(table_for):
    """Make a fit of the Chinchilla law whose runs have further columns, one value for each size."""

    def make(**columns):
        fit = stand_in(models.chinchilla, table_for, draws=3)
        table = fit.model.runs.table
        sizes = np.sort(table["N"].unique())
        added = {k: table["N"].map(dict(zip(sizes, values, strict=True))) for k, values in columns.items()}
        runs = replace(fit.model.runs, table=table.assign(**added))
        return replace(fit, model=replace(fit.model, runs=runs)), sizes

    return make


def test_allocation_by_what_a_token_costs(sized):
    """The optimum under C = f(N) D is where a search in one dimension finds it, whatever f."""
    fit, _ = sized()
    usual = allocation(fit, flops=1e21).draws
    eight = allocation(fit, flops=1e21, flops_per_token=8.0).draws
    np.testing.assert_allclose(eight, allocation(fit, flops=1e21 * 6 / 8).draws, rtol=1e-6)
    np.testing.assert_allclose(allocation(fit, flops=1e21, flops_per_token=lambda N: 6 * N).draws, usual)

    def cost(N):
        return 6 * N + ATTENTION * (N / (12 * 32)) ** 0.5

    found = allocation(fit, flops=1e21, flops_per_token=cost)
    sizes, tokens = (found.draws.sel(quantity=label) for label in ("N", "D"))
    np.testing.assert_allclose(cost(sizes) * tokens, 1e21, rtol=1e-9)
    size = float(sizes[0, 0])
    assert size > 1.02 * float(usual.sel(quantity="N")[0, 0])  # the cost grows more slowly than N

    def loss(log_size):
        N = np.exp(log_size)
        return float(fit.loss(fit.columns(N=N, D=1e21 / cost(N))).isel(chain=0, draw=0).item())

    best = minimize_scalar(
        loss, bounds=(np.log(size / 30), np.log(size * 30)), method="bounded", options={"xatol": 1e-9}
    ).x
    assert size == pytest.approx(np.exp(best), rel=1e-3)
    assert found.as_json()["flops_per_token"] == "cost" and "flops_per_token" not in allocation(fit, flops=1e21).inputs


def test_allocation_by_a_column_of_the_runs(sized):
    _, sizes = sized()
    fit, _ = sized(cost=8 * sizes, whole=sizes[::-1], words=["x"] * len(sizes))
    by_column = allocation(fit, flops=1e21, flops_per_token="cost")
    np.testing.assert_allclose(by_column.draws, allocation(fit, flops=1e21, flops_per_token=8).draws, rtol=1e-6)
    assert of_the_study(fit, "cost")["flops"] == pytest.approx(of_the_study(fit)["flops"] * 8 / 6)
    refused: dict[str | float, str] = {
        "whole": "does not grow with N",
        "words": "no cost of training",
        "coste": "did you mean 'cost'",
        0.0: "flops_per_token is 0: give FLOPs per parameter and token, such as 6",
        6e9: "give FLOPs per parameter and token, such as 6, or a function of N",
    }
    for wrong, words in refused.items():
        with pytest.raises(BayeslawError, match=words):
            allocation(fit, flops=1e21, flops_per_token=wrong)
    functions: dict[str, Callable[..., Any]] = {
        "must lie above 0 and grow": lambda N: 1e9 - N,
        "cannot be called": lambda: 6,
    }
    for words, function in functions.items():
        with pytest.raises(BayeslawError, match=words):
            allocation(fit, flops=1e21, flops_per_token=function)


def test_a_question_outside_the_range_is_refused():
    fit = stub([COMMON])
    with pytest.raises(RangeError, match="outside='include'"):
        allocation(fit, flops=5e19, domain_share=0.95, eval="general")


def test_several_shares_at_a_time():
    draws = xr.DataArray(np.linspace(0.1, 0.9, 81)[None], dims=("chain", "draw"))
    ratio = CriticalRatio("critical_ratio", draws, "1", "mean law", low=0.0, high=1.0)
    safe = ratio.probability_safe([0.3, 0.7])
    assert safe.dims == ("share",) and list(safe["share"]) == [0.3, 0.7]
    assert float(safe[0]) == float(ratio.probability_safe(0.3)) > float(safe[1])
    with pytest.raises(RangeError, match="share is 1.2"):
        ratio.probability_safe([0.3, 1.2])


@pytest.mark.parametrize("baseline", [17.7, (17.7, 0.1), 0.9, [2.5, 17.7]])
def test_a_baseline_far_from_every_measured_loss_is_refused(baseline):
    N = [1.8e9, 4e9] if isinstance(baseline, list) else 1.8e9
    wrong = "0.9" if baseline == 0.9 else "17.7"
    says = f"baseline is {wrong}, and the measured general losses lie between 2 and 3: give it in nats per token"
    with pytest.raises(RangeError, match=says):
        critical_ratio(stub(with_E(1.5)), N=N, D=1e10, baseline=baseline)


def test_a_fall_that_is_asked_for_is_said():
    ask: dict[str, Any] = {"N": 1.8e9, "D": 1e10, "baseline": 2.4}
    fall, nats, none = (critical_ratio(stub(with_E(1.5)), **ask, **limit) for limit in LIMITS)
    assert "the general loss at least 2 % below a baseline of 2.4 nats" in repr(fall)
    assert "the general loss at least 0.1 nats below a baseline of 2.4 nats" in repr(nats)
    assert "the general loss not above a baseline of 2.4 nats" in repr(none)
    said = [_limit(limit, "nats") for limit in LIMITS]
    assert said == ["fall of at least 2 %", "fall of at least 0.1 nats", "no rise"]
