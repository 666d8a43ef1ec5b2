"""Shares of many sources: reading, naming, blending and the simplex; mixtures as covariates of a model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import linprog, minimize

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.decisions import simplex
from bayeslaw.decisions.domain_alignment import alignment, domain_vectors
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName
from bayeslaw.tables.mixtures import as_weights, bounds, through
from bayeslaw.tables.runs import read_runs

SHARES = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])


def table(shares: np.ndarray = SHARES, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(shares, columns=["weight_books", "weight_code", "weight_web"])
    return frame.assign(prose_loss=[3.0, 2.9, 3.1, 2.95], code_loss=[1.5, 1.6, 1.9, 1.4], **columns)


# ------------------------------------------------------------------------------------------------------------- reading
def test_shares_become_one_variable():
    runs = read_runs(table())
    assert runs.dataset["weight"].dims == ("row", "source")
    assert list(runs.dataset["source"].values) == ["books", "code", "web"]
    np.testing.assert_array_equal(runs.dataset["weight"], SHARES)
    assert runs.note == "" and "note" not in repr(runs)


def test_rounded_shares_are_renormalised_and_it_is_said():
    runs = read_runs(table(SHARES + [[0.0, 0.0, 0.004], [0, 0, 0], [0, 0, 0], [0, 0, -0.003]]))
    np.testing.assert_allclose(runs.dataset["weight"].sum("source"), 1, atol=1e-15)
    assert runs.note == "the shares of 2 rows, rounded to sums from 0.997 to 1.004, were divided by them"
    assert runs.note in repr(runs) and runs.note in runs._repr_html_()
    assert runs.select([True, False, True, True]).note == runs.note


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weight_web": [0.5, 0.2, 0.8, 0.3]}, r"row 1 \(counted from 0\) sum to 1.1"),
        ({"weight_web": [0.5, 0.1, 0.8, 0.0]}, r"row 3 \(counted from 0\) sum to 0.7"),
        ({"weight_web": [50.0, 10, 80, 30]}, "divide the column by 100"),
        ({"weight_web": [0.5, -0.1, 0.8, 0.3]}, "shares lie in"),
        ({"weight_web": [0.5, np.nan, 0.8, 0.3]}, "missing in row 1"),
    ],
)
def test_shares_that_are_none_are_refused(changed, words):
    with pytest.raises(DataError, match=words):
        read_runs(table().assign(**changed))


def test_a_law_of_mixtures_asks_for_shares():
    rows = table().drop(columns=["weight_books", "weight_code", "weight_web"]).assign(run=list("abcd"))
    with pytest.raises(DataError, match="needs a column 'weight_<source>'"):
        bl.Model(models.data_mixing, read_runs(rows))


# -------------------------------------------------------------------------------------------------------------- naming
KNOWN = ["books", "code", "web"]


@pytest.mark.parametrize(
    "given",
    [
        {"web": 0.7, "books": 0.3},
        {"weight_web": 0.7, "books": 0.3},
        pd.Series({"web": 0.7, "books": 0.3, "code": 0.0}),
        xr.DataArray([0.7, 0.3], coords={"source": ["web", "books"]}),
    ],
)
def test_a_mixture_is_named_in_any_order(given):
    np.testing.assert_allclose(as_weights(given, KNOWN), [0.3, 0.0, 0.7])
    assert list(as_weights(given, KNOWN)["source"].values) == KNOWN


def test_several_mixtures_are_a_table():
    for frame in (table()[["weight_web", "weight_books", "weight_code"]], pd.DataFrame(SHARES, columns=KNOWN)):
        array = as_weights(frame.set_axis(list("abcd")), KNOWN)
        assert array.dims == ("mixture", "source") and list(array["mixture"].values) == list("abcd")
        np.testing.assert_allclose(array, SHARES)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"webb": 1.0}, UnknownName, "did you mean 'web'"),
        ({"web": 0.7}, DataError, "sum to 0.7"),
        ({"web": 1.2, "code": -0.2}, DataError, "at least 0"),
        ([0.2, 0.8], DataError, "from list"),
        ("web", DataError, "shares by source"),
    ],
)
def test_what_is_no_mixture_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        as_weights(given, KNOWN)


# ------------------------------------------------------------------------------------------------------------- a model
def test_coefficients_have_one_value_per_source():
    rows = table(domain=["a", "a", "b", "b"])
    model = bl.Model(models.data_mixing, read_runs(rows))
    assert model.coefficient_priors["t"].dims == ("eval", "source") and not model.design.on_grid
    assert model.pymc_model.named_vars_to_dims["t"] == ("eval", "source")
    assert tuple(model.pymc_model.coords["source"]) == ("books", "code", "web")
    over_sources = bl.Model(models.data_mixing, read_runs(rows), by={"t": "source"}).coefficient_priors["t"]
    assert over_sources.dims == ("eval", "source") and over_sources.parameters["mu"].dims == ("eval",)
    over_domains = bl.Model(models.data_mixing, read_runs(rows), by={"t": "domain"})
    prior = over_domains.coefficient_priors["t"]
    assert prior.dims == ("eval", "source", "domain") and prior.parameters["mu"].dims == ("eval", "source")
    assert list(over_domains.design.groups) == ["domain"]
    with pytest.raises(LawError, match="c has one value for all sources"):
        bl.Model(models.data_mixing, read_runs(rows), by={"c": "source"})
    own = bl.Model(models.data_mixing, read_runs(rows), priors={"t": bl.real(0.0, 1.0)})
    assert own.coefficient_priors["t"].dims == ("eval", "source")


def test_a_coefficient_over_a_dim_that_no_covariate_has_is_refused():
    w = bl.Coefficient(bl.positive(4, 0.5), "nats", "loss", why="a test", over="source")
    with pytest.raises(LawError, match="w varies over 'source', a dim that no covariate has"):
        bl.law(
            title="t",
            source="s",
            equation="L = w",
            covariates={"N": bl.Covariate("parameters", "size")},
            coefficients={"w": w},
        )(lambda N, /, *, w: w + N)


@pytest.mark.parametrize("name", [law.name for law in models.catalogue.values() if law.vectors])
def test_shares_of_0_count(name):
    """They are the commonest value of a swarm of mixtures: no law of the catalogue leaves them out."""
    columns = {c: [1e9] * 4 for c in ("N", "D") if c in models.catalogue[name].columns}
    rows = read_runs(table(np.vstack([SHARES[:3], [0.0, 0.5, 0.5]]), run=list("abcd"), **columns))
    assert bl.Model(models.catalogue[name], rows).design.measured.all()


def test_a_law_that_excludes_shares_of_0_is_not_fitted_to_what_is_left():
    """One row of four is outside: more than a tenth, and fewer rows are left than the law has coefficients."""
    shares = bl.Covariate("1", "share of every source", valid=(1e-6, 1.0))
    law = replace(models.regmix, covariates={"weight": shares})
    model = bl.Model(law, read_runs(table(np.vstack([SHARES[:3], [0.0, 0.5, 0.5]]))))
    assert model.design.measured.values.tolist() == [[False] * 2] + [[True] * 2] * 3
    assert "2 outside the law's range" in repr(model)
    with pytest.raises(DataError, match="1 of 4 prose losses .* more than a tenth: give outside='include'"):
        model.fit(method="mle")
    assert bl.Model(law, model.runs, outside="exclude").fit(method="mle").posterior["w"].notnull().all()
    assert bl.Model(law, model.runs, outside="include").design.measured.all()
    two = replace(model.runs, table=model.runs.table.iloc[1:])
    with pytest.raises(DataError, match="the 2 others are fewer than its 3 coefficients"):
        bl.Model(law, two, outside="exclude").fit(method="mle")
    with pytest.raises(DataError, match="outside='include'"):
        bl.Model(law, read_runs(table(np.tile([0.0, 0.5, 0.5], (4, 1))).assign(run=list("abcd"))))


def test_a_floor_stays_below_every_observed_loss():
    model = bl.Model(models.data_mixing, read_runs(table()))
    np.testing.assert_array_equal(model.shape.floors["c"].sel(eval=["prose", "code"]), [2.9, 1.4])
    rows = read_runs(table(domain=["a", "a", "b", "b"]))
    pooled = bl.Model(models.data_mixing, rows, by={"c": "domain"})
    np.testing.assert_array_equal(pooled.shape.floors["c"].sel(eval="code", domain=["a", "b"]), [1.5, 1.4])
    c = xr.DataArray([2.95, 1.2], coords={"eval": ["prose", "code"]})
    (violation,) = model.shape.violations({"c": c})
    np.testing.assert_allclose(violation, [0.05, 0.0])
    logp = model.pymc_model.compile_logp(mode="FAST_COMPILE")
    assert "shape" in [v.name for v in model.pymc_model.potentials]
    point = {"c_log__": np.log([2.95, 1.2]), "t": np.zeros((2, 3)), "sigma_log__": np.zeros(2)}
    point["lack_log__"] = np.zeros((2, 3))
    point["eval_correlation_interval__"] = np.array(0.0)
    below = logp(point | {"c_log__": np.log([2.9, 1.2])})
    assert logp(point) - below == pytest.approx(-12.5, abs=0.2)  # half of (0.05 / 0.01) squared, and the prior


def test_a_nested_law_falls_in_size_and_tokens_by_construction():
    rows = table(N=[1e8, 1e9, 1e8, 1e9], D=[1e9, 1e10, 1e10, 1e9])
    model = bl.Model(models.nested_data_mixing, read_runs(rows))
    grid = model.shape.grid
    assert grid["weight"].dims == ("weight_level", "source") and grid["weight"].sizes["weight_level"] == 4
    rng = np.random.default_rng(0)
    c: dict[str, xr.DataArray] = {}
    for name, prior in model.coefficient_priors.items():
        sizes = {"eval": ["prose", "code"], "source": KNOWN}
        coords = {d: sizes[d] for d in prior.dims or ()}
        c[name] = xr.DataArray(0.1 + rng.random([len(v) for v in coords.values()]), coords=coords)
    rises = model.shape.rises(c)
    assert set(rises) == {"N", "D"} and all(float(r.max()) < 0 for r in rises.values())


# ------------------------------------------------------------------------------------------------------------- simplex
def by_slsqp(function: Callable[..., float], low: np.ndarray, high: np.ndarray, *args: Any) -> Any:
    """A general optimiser's minimum over the bounded simplex."""
    whole: Any = {"type": "eq", "fun": lambda x: x.sum() - 1}
    ends: Any = list(zip(low, high, strict=True))
    start = np.full(len(low), 1 / len(low))
    return minimize(function, start, args=args, bounds=ends, constraints=whole, tol=1e-14)


def test_projection_is_the_nearest_point():
    rng = np.random.default_rng(1)
    low, high = np.array([0.0, 0.1, 0.0, 0.0]), np.array([0.3, 1.0, 0.25, 1.0])
    points = rng.normal(0, 1, (200, 4))
    found = simplex.project(points, low, high)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all()
    for x, mine in zip(points[:20], found, strict=False):
        best = by_slsqp(lambda z, x: ((z - x) ** 2).sum(), low, high, x)
        np.testing.assert_allclose(mine, best.x, atol=1e-5)


def test_the_smallest_linear_value_is_that_of_a_linear_program():
    rng = np.random.default_rng(2)
    low, high = np.array([0.05, 0.0, 0.1, 0.0]), np.array([0.3, 0.4, 0.5, 1.0])
    slopes = rng.normal(size=(30, 4))
    for g, value in zip(slopes, simplex.smallest_linear(slopes, low, high), strict=True):
        ends: Any = np.array([low, high]).T
        exact = linprog(g, A_eq=np.ones((1, 4)), b_eq=np.ones(1), bounds=ends)
        assert value == pytest.approx(exact.fun, abs=1e-9)


def test_quadratics_are_minimised_to_the_promised_gap():
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(50, 6, 6)) * np.logspace(-1.5, 1, 6)
    hessian = np.einsum("nij,nkj->nik", roots, roots)
    center = rng.normal(0.2, 0.5, (50, 6))

    def each(x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = np.einsum("nij,nj->ni", hessian[number], x - center[number])
        return 0.5 * ((x - center[number]) * slope).sum(1), slope

    low, high = np.zeros(6), np.full(6, 0.6)
    x, gap = simplex.minimise(each, 50, low, high)
    assert gap.max() <= simplex.GAP and gap.min() > -1e-9
    for k in range(5):
        best = by_slsqp(lambda z, k: each(z[None], np.array([k]))[0][0], low, high, k)
        assert each(x[[k]], np.array([k]))[0][0] <= best.fun + 1e-7


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"at_most": {"webb": 0.3}}, UnknownName, "did you mean 'web'"),
        ({"at_most": {"web": 30}}, RangeError, "give a share in"),
        ({"at_least": {"web": 0.5}, "at_most": {"web": 0.3}}, RangeError, "at least 0.5 and at most 0.3"),
        ({"at_least": {"web": 0.7, "code": 0.6}}, RangeError, "smallest to 1.3"),
        ({"at_most": {"web": 0.3, "code": 0.3, "books": 0.3}}, RangeError, "largest to 0.9"),
    ],
)
def test_bounds_without_a_mixture_are_refused(asked, error, words):
    with pytest.raises(error, match=words):
        bounds(KNOWN, **{"at_least": None, "at_most": None} | asked)


# ------------------------------------------------------------------------------------------------------ domain vectors
VECTORS = pd.DataFrame(
    {"books": [0.7, 0.2, 0.1], "code": [0.0, 0.1, 0.9], "web": [0.3, 0.6, 0.1]}, index=["novel", "news", "program"]
)


def test_shares_of_data_sets_become_shares_of_meta_domains():
    changed = through(table(), VECTORS)
    weights = [str(c) for c in changed if str(c).startswith("weight_")]
    assert weights == ["weight_novel", "weight_news", "weight_program"]
    np.testing.assert_allclose(changed[weights], SHARES @ VECTORS.to_numpy().T)
    assert list(read_runs(changed).dataset["source"].values) == ["novel", "news", "program"]
    with pytest.raises(DataError, match="'web' sums to 1.3"):
        through(table(), VECTORS.assign(web=[0.6, 0.6, 0.1]))
    with pytest.raises(UnknownName, match="did you mean 'web'"):
        through(table().rename(columns={"weight_web": "weight_webb"}), VECTORS)


@pytest.mark.parametrize("distance", ["huber", "jensen-shannon"])
def test_alignment_finds_a_planted_mixture(distance):
    planted = {"books": 0.25, "code": 0.15, "web": 0.6}
    target = VECTORS @ pd.Series(planted)
    found = alignment(VECTORS, target, distance=distance)
    np.testing.assert_allclose(found.draws.squeeze(), list(planted.values()), atol=1e-4)
    capped = alignment(VECTORS, target, distance=distance, at_most={"web": 0.4})
    assert capped.draws.sel(source="web").item() == pytest.approx(0.4, abs=1e-9)
    assert float(capped.p_always.sel(source="web")) == 1


def test_an_alignment_with_many_answers_says_so():
    vectors = VECTORS.assign(blog=0.5 * VECTORS["books"] + 0.5 * VECTORS["web"])
    assert "1 direction changes the mixture" in alignment(vectors, VECTORS["web"]).note
    assert alignment(VECTORS, VECTORS["web"]).note == ""
    with pytest.raises(UnknownName, match="did you mean 'huber'"):
        alignment(VECTORS, VECTORS["web"], distance="huberr")
    with pytest.raises(UnknownName, match="meta-domain"):
        alignment(VECTORS, {"novels": 1.0})


def test_draws_of_vectors_or_of_a_target_meet_the_other_without_draws():
    vectors = domain_vectors((1000 * VECTORS).round(), draws=5)
    cases: list[tuple[Any, Any]] = [(vectors, VECTORS["web"]), (VECTORS, vectors.sel(source="web", drop=True))]
    for draws, target in cases:
        found = alignment(draws, target).draws
        assert found.sizes["draw"] == 5
        one = [a.isel(chain=0, draw=3) if isinstance(a, xr.DataArray) else a for a in (draws, target)]
        np.testing.assert_allclose(found.isel(chain=0, draw=3), alignment(*one).draws.squeeze(), atol=1e-6)
    fewer = alignment(vectors, vectors.sel(source="web", drop=True).isel(draw=slice(3))).draws
    np.testing.assert_allclose(fewer.sel(source="web"), np.ones((1, 3)), atol=1e-4)


def test_intervals_of_an_alignment_from_documents_hold_what_they_say():
    """1,000 simulated documents per data set; 40 simulations of four shares."""
    rng = np.random.default_rng(4)
    names = ["a", "b", "c", "d"]
    truth = rng.dirichlet(np.full(20, 0.3), 4).T
    planted = np.array([0.15, 0.2, 0.25, 0.4])
    inside = []
    for seed in range(40):
        counts = np.column_stack([rng.multinomial(1000, p / p.sum()) for p in truth.T])
        goal = rng.multinomial(1000, truth @ planted)
        draws = domain_vectors(pd.DataFrame(counts, columns=names), draws=200, seed=seed)
        target = domain_vectors(pd.DataFrame({"goal": goal}), draws=200, seed=1000 + seed).sel(source="goal", drop=True)
        found = alignment(draws, target).interval(0.89)
        inside.append((found["lower"] <= planted) & (found["upper"] >= planted))
    assert 0.8 <= float(np.mean(inside)) <= 0.97
