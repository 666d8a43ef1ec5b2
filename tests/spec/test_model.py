"""The model: shape prior, pooling, and its density against one written out with SciPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from pytensor.graph import rewrite_graph
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, LawError
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.shape import RISE
from bayeslaw.tables.runs import read_runs

INDEPENDENT = Noise(correlated=False, joint=False)
Floats = tuple[float, ...]
TRUTH = dict(E=1.6, A=0.3, alpha=0.3, B=0.02, beta=0.3, eta=1.2, C=0.4, gamma=0.4, eps=0.1)


def table(
    domains: tuple[str, ...] = ("code", "law"), D: Floats = (2e8, 1e9, 1e10), shares: Floats = (0.1, 0.3, 0.6, 0.9)
) -> pd.DataFrame:
    cells = pd.MultiIndex.from_product(
        [[5e8, 2e9, 4e9], D, shares, domains], names=["N", "D", "domain_share", "domain"]
    )
    rows = cells.to_frame(index=False)
    rng = np.random.default_rng(4)
    for name in ("general", "domain"):
        share = 1 - rows["domain_share"] if name == "general" else rows["domain_share"]
        rows[f"{name}_loss"] = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, share, **TRUTH) * np.exp(
            rng.normal(0, 0.01, len(rows))
        )
    return rows


def model(rows: pd.DataFrame | None = None, **settings: Any) -> bl.Model:
    return bl.Model(models.dcpt, read_runs(table() if rows is None else rows), **settings, misfit=None)


def coefficients(**changed: float) -> dict[str, xr.DataArray]:
    return {k: xr.DataArray([v, v], coords={"eval": ["general", "domain"]}) for k, v in (TRUTH | changed).items()}


def papers_amounts(c: dict[str, float]) -> Mapping[str, Any]:
    """What the paper holds above 0, at the fewest tokens of the table."""
    assert models.dcpt.sufficient_shape
    return models.dcpt.sufficient_shape(0.02, **{k: c[k] for k in ("B", "beta", "eta", "C", "gamma", "eps")})


# -------------------------------------------------------------------------------------------------------- shape prior
@pytest.mark.parametrize("seed", range(20))
def test_the_papers_condition_makes_the_loss_fall(seed):
    rng = np.random.default_rng(seed)
    c = {k: v * np.exp(rng.normal(0, 0.5)) for k, v in TRUTH.items()}
    c["eta"] = 1 + rng.exponential(0.5)
    lowest = 2e8 / 1e10
    c["C"] = 1.001 * c["B"] * c["eta"] * (1 + c["eps"]) ** (c["gamma"] + 1) / (c["gamma"] * lowest ** c["beta"])
    rises = model().shape.rises(coefficients(**c))
    assert max(float(rise.max()) for rise in rises.values()) <= 0


def test_a_large_token_term_makes_the_loss_rise_in_its_share():
    rises = model().shape.rises(coefficients(B=2.0))
    assert set(rises) == {"N", "D", "share"}
    assert float(rises["share"].max()) > 0.1
    assert float(rises["N"].max()) <= 0 and float(rises["D"].max()) <= 0


def test_rises_are_differences_of_the_law_between_levels():
    m = model(monotone=None)
    rise = m.shape.rises(coefficients(B=2.0))["share"].sel(eval="domain").transpose("share_level", "N_level", "D_level")
    share = m.shape.grid["share"].values
    for i, N in enumerate((0.5, 4.0)):
        for k, D in enumerate((0.02, 1.0)):
            loss = models.dcpt(N, D, share, **TRUTH | {"B": 2.0})
            np.testing.assert_allclose(rise[:, i, k], np.diff(loss), rtol=1e-9)


def test_a_covariate_that_does_not_vary_has_no_trend():
    assert set(model(table(D=(1e10,))).shape.rises(coefficients())) == {"N", "share"}


def test_the_papers_condition_is_what_is_held_above_zero():
    amounts = papers_amounts(TRUTH)
    assert set(amounts) == {"eta", "C"}
    C0 = TRUTH["C"] - amounts["C"]

    def slope(r: float, C: float) -> float:
        above, below = (models.dcpt(1, 0.02, r + step, **TRUTH | {"C": C}) for step in (1e-6, -1e-6))
        return above - below

    assert slope(1.0, C0) == pytest.approx(0, abs=1e-10)  # the condition is tight at share 1 and the fewest tokens
    assert slope(1.0, 1.1 * C0) < 0 < slope(1.0, 0.9 * C0)


# ------------------------------------------------------------------------------------------------------------ density
def logp(m: bl.Model, values: dict[str, np.ndarray]) -> dict[str, float]:
    """Log density of every variable of the model, Jacobians left out, by name."""
    graph = m.pymc_model
    terms: list[Any] = [rewrite_graph(t, include=("lower_xtensor",)) for t in graph.logp(sum=False, jacobian=False)]
    logs = [
        np.log(values[rv.name]) if graph.rvs_to_transforms[rv] is not None else values[rv.name] for rv in graph.free_RVs
    ]
    evaluate = pytensor.function(graph.value_vars, terms, mode="FAST_COMPILE", on_unused_input="ignore")
    names = [v.name for v in (*graph.basic_RVs, *graph.potentials)]
    return {name: np.asarray(t).sum() for name, t in zip(names, evaluate(*logs), strict=True)}


def point(m: bl.Model) -> dict[str, np.ndarray]:
    """The truth for every group, slightly apart; positive variables only."""
    rng, values = np.random.default_rng(0), {}
    for rv in m.pymc_model.free_RVs:
        shape = [len(m.pymc_model.coords[d]) for d in m.pymc_model.named_vars_to_dims[rv.name]]
        base = rv.name.removesuffix("_mu").removesuffix("_sigma")
        middle = {"sigma": 0.02}.get(rv.name) or (0.2 if rv.name.endswith("_sigma") else TRUTH.get(base, 0.3))
        values[rv.name] = middle * np.exp(rng.normal(0, 0.1, shape))
        if rv.name.endswith("_mu"):
            values[rv.name] = np.log(values[rv.name])
    return values


@pytest.mark.parametrize("crossed", [True, False], ids=["grid", "rows"])
@pytest.mark.parametrize("robust", [False, True], ids=["normal", "Student-t"])
def test_the_density_is_what_the_model_says(crossed, robust):
    rows = table() if crossed else table().sample(17, random_state=2)
    m = model(rows, by={"E": "domain"}, noise=Noise(False, False, robust))
    assert m.design.on_grid is crossed
    v = point(m)
    found = logp(m, v)
    r = m.runs.table
    expected = 0.0
    for e, name in enumerate(("general", "domain")):
        share = 1 - r["domain_share"] if name == "general" else r["domain_share"]
        c = {k: v[k][e] for k in TRUTH}
        c["E"] = v["E"][e][[list(m.design.groups["domain"]).index(d) for d in r["domain"]]]
        mean = np.log(models.dcpt((r["N"] / 1e9).values, (r["D"] / 1e10).values, share.values, **c))
        error = stats.t(5, mean, v["sigma"][e]) if robust else stats.norm(mean, v["sigma"][e])
        expected += error.logpdf(np.log(r[f"{name}_loss"]))[share >= 0.1 - 1e-9].sum()
    assert found["log_loss"] == pytest.approx(expected, rel=1e-6 if robust else 1e-9)  # PyMC rounds Student's constant
    population = stats.norm(np.log(1.5), 0.5).logpdf(v["E_mu"]).sum()
    assert found["E_mu"] == pytest.approx(population, abs=1e-8)  # PyMC rounds the constant of plain normal densities
    assert found["E"] == pytest.approx(
        stats.lognorm(v["E_sigma"][:, None], scale=np.exp(v["E_mu"])[:, None]).logpdf(v["E"]).sum()
    )
    assert found["E_sigma"] == pytest.approx(stats.lognorm(0.5, scale=0.2).logpdf(v["E_sigma"]).sum())


def test_the_shape_prior_is_no_likelihood():
    graph = model(table(domains=("code",)), noise=INDEPENDENT).pymc_model
    assert [v.name for v in graph.observed_RVs] == ["log_loss"] and [v.name for v in graph.potentials] == ["shape"]
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        gradient = graph.compile_dlogp()(graph.initial_point())
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("B", [0.02, 2.0])
def test_a_rise_costs_what_the_shape_prior_says(B):
    m = model(table(domains=("code",)), noise=INDEPENDENT)
    v = {k: np.full(2, x) for k, x in (TRUTH | {"sigma": 0.02, "B": B}).items()}
    total = sum(float((rise.clip(0) ** 2).sum()) for rise in m.shape.rises(coefficients(B=B)).values())
    assert (total > 0) is (B == 2.0)
    assert logp(m, v)["shape"] == pytest.approx(-0.5 * total / RISE**2, rel=1e-9)


@pytest.mark.parametrize("monotone", ["paper", None])
def test_the_other_shape_priors(monotone):
    m = model(table(domains=("code",)), noise=INDEPENDENT, monotone=monotone)
    v = {k: np.full(2, x) for k, x in (TRUTH | {"sigma": 0.02, "B": 0.2, "eta": 0.9}).items()}
    found = logp(m, v)
    assert ("shape" in found) is (monotone is not None)
    if monotone:
        amounts = papers_amounts({k: float(x[0]) for k, x in v.items()})
        total = 2 * sum(max(-a, 0.0) ** 2 for a in amounts.values())
        assert found["shape"] == pytest.approx(-0.5 * total / RISE**2, rel=1e-9)


@pytest.mark.parametrize("crossed", [True, False], ids=["grid", "rows"])
def test_correlated_errors_enter_the_graph_as_the_dense_normal_density(crossed):
    rows = table(domains=("code",))
    rows = (
        rows
        if crossed
        else rows.assign(
            N=rows["N"] * (1 + 1e-3 * rows["domain_share"].rank(method="dense")), D=rows["D"] * rows["domain_share"]
        )
    )
    m = model(rows, outside="include", monotone=None)
    assert m.noise == Noise(correlated=True, joint=True, batch=False) and m.design.on_grid is crossed
    v = {k: np.full(2, x) for k, x in TRUTH.items()} | {"sigma": np.array([0.01, 0.02])}
    graph = m.pymc_model
    w, ell, rho = 0.3, 0.8, 0.5
    given = v | {"run_weight": np.array(w), "correlation_length": np.array(ell), "eval_correlation": np.array(rho)}
    logs = {
        "run_weight": np.log(w / (1 - w)),
        "eval_correlation": np.log((1 + rho) / (1 - rho)),
    }
    terms = graph.logp(vars=[graph["log_loss"]], sum=False)
    density: list[Any] = [rewrite_graph(t, include=("lower_xtensor",)) for t in terms]
    evaluate = pytensor.function(graph.value_vars, density, mode="FAST_COMPILE", on_unused_input="ignore")
    found = evaluate(*(logs[rv.name] if rv.name in logs else np.log(given[rv.name]) for rv in graph.free_RVs))[0].sum()
    expected = 0.0
    for _, run in m.runs.table.groupby("run"):
        path = np.log(run["D"].values)
        along = w + (1 - w) * np.exp(-np.abs(path[:, None] - path) / ell)
        covariance = np.kron(np.array([[1, rho], [rho, 1]]) * np.outer(v["sigma"], v["sigma"]), along)
        error = []
        for name in ("general", "domain"):
            share = 1 - run["domain_share"] if name == "general" else run["domain_share"]
            error.append(np.log(run[f"{name}_loss"] / models.dcpt(run["N"] / 1e9, run["D"] / 1e10, share, **TRUTH)))
        expected += stats.multivariate_normal(cov=covariance).logpdf(np.concatenate(error))
    assert found == pytest.approx(expected, rel=1e-9)


# ----------------------------------------------------------------------------------------------------- declared choices
def test_rows_outside_the_range_are_kept_and_counted():
    inside, everything = (model(table(shares=(0.0, 0.5, 0.95)), outside=o) for o in ("exclude", "include"))
    assert len(everything.design.log_loss) == 2 * 54 and everything.design.measured.all()
    assert len(inside.design.log_loss) == 2 * 54 - 18 - 18
    assert inside.design.rows.sizes["row"] == 54
    assert "36 outside the law's range kept out" in repr(inside)


def test_pooling_is_by_validation_set_and_group():
    m = model(by={"E": "domain"}, priors={"C": bl.Prior("LogNormal", mu=-1.0, sigma=1.0, dims="domain")})
    assert m.coefficient_priors["E"].dims == m.coefficient_priors["C"].dims == ("eval", "domain")
    assert m.coefficient_priors["A"].dims == ("eval",)
    shared = m.table()["shared"]
    assert (shared["E"], shared["C"], shared["A"]) == ("pooled by domain", "separate by domain", "shared")
    assert {"E_mu", "E_sigma"} <= {rv.name for rv in m.pymc_model.free_RVs}
    assert list(m.pymc_model.coords["domain"]) == ["code", "law"]


def test_pooling_and_dims_of_its_own_exclude_each_other():
    with pytest.raises(LawError, match="E is pooled by 'domain' and its prior has dims.*keep one"):
        model(by={"E": "domain"}, priors={"E": bl.Prior("LogNormal", mu=0.0, sigma=1.0, dims="domain")})


def test_a_prior_that_is_no_prior_is_refused():
    with pytest.raises(ArgumentError, match="alpha.*bl.positive"):
        model(priors={"alpha": 0.3})


def test_independent_errors_for_single_measurements():
    one = model(table(D=(1e10,)))
    assert one.noise == Noise(correlated=False, joint=True, batch=False)
    assert one.describe_noise() == "independent checkpoints, correlated between validation sets"
    assert model().noise.correlated


def test_reprs_say_what_the_model_is():
    m = model(by={"E": "domain"}, reference={"N": 2e9})
    for words in ("dcpt", "E by domain", "N 2 B", "observed", "run effect"):
        assert words in repr(m)
    assert "<pre>" not in m._repr_html_() and "eval_correlation" in m._repr_html_()
