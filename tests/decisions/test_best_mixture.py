"""Best mixture on stand-in posteriors, against closed forms."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.decisions.best_mixture import best_mixture
from bayeslaw.declare.laws import Law
from bayeslaw.errors import LawError, RangeError, UnknownName
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit


def stand_in(law: Law, draws: dict[str, Any], outside: Any = "include", **columns: Any) -> Fit:
    """A fit with given draws: arrays (draw, eval) or, over sources, (draw, eval, source)."""
    arrays = {k: np.asarray(v, float) for k, v in draws.items()}
    count, evals = next(iter(arrays.values())).shape[:2]
    if "lack" in law.coefficients and "lack" not in arrays:
        arrays["lack"] = np.full_like(arrays["t"], 1e-12)  # the paper's law, which has closed forms
    over = [v.shape[2] for k, v in arrays.items() if law.coefficients[k].over]
    labels: dict[str, Any] = {"chain": [0], "draw": np.arange(count), "eval": [f"set{i}" for i in range(evals)]}
    table = pd.DataFrame({f"{e}_loss": [2.0, 2.1, 2.2, 2.3] for e in labels["eval"]}).assign(**columns)
    table["run"] = list("abcd")
    if over:
        labels["source"] = [f"s{i}" for i in range(over[0])]
        shares = np.random.default_rng(0).dirichlet(np.full(over[0], 5.0), 4)
        table[[f"weight_{s}" for s in labels["source"]]] = shares
    posterior = xr.Dataset(coords=labels)
    for name, values in arrays.items():
        dims = ("chain", "draw", "eval", *(["source"] if law.coefficients[name].over else []))
        posterior[name] = (dims, values[None])
    posterior["sigma"] = (("chain", "draw", "eval"), np.full((1, count, evals), 0.01))
    return Fit(bl.Model(law, read_runs(table), outside=outside), xr.DataTree.from_dict({"posterior": posterior}))


def by_slsqp(function: Callable[..., float], *args: Any) -> Any:
    """A general optimiser's minimum over the shares of four sources."""
    whole: Any = {"type": "eq", "fun": lambda r: r.sum() - 1}
    return minimize(function, np.full(4, 0.25), args=args, bounds=[(0, 1)] * 4, constraints=whole, tol=1e-14)


def random_mixing(draws: int = 30, evals: int = 3, source: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    center = rng.normal(-1, 2, (evals, source))
    return {"c": np.full((draws, evals), 1.5), "t": center + 0.2 * rng.standard_normal((draws, evals, source))}


# --------------------------------------------------------------------------------------------------------- closed forms
def test_two_sources_that_pull_apart_have_a_closed_form():
    rng = np.random.default_rng(1)
    t = np.stack([[[-3.0, 0.2], [0.5, -2.0]]] * 20) + 0.1 * rng.standard_normal((20, 2, 2))
    weight = {"set0": 2.0, "set1": 1.0}
    q = best_mixture(stand_in(models.data_mixing, {"c": np.ones((20, 2)), "t": t}), goal=weight)
    slope = t[:, :, 0] - t[:, :, 1]
    share = np.log(-slope[:, 1] / (2 * slope[:, 0])) + t[:, 1, 1] - t[:, 0, 1]
    share = share / (slope[:, 0] - slope[:, 1])
    np.testing.assert_allclose(q.draws.sel(source="s0")[0], share, atol=1e-4)
    np.testing.assert_allclose(q.draws.sum("source"), 1, atol=1e-12)
    assert (q.p_interior == 1).all() and q.what == "mean law" and q.draws.dims == ("chain", "draw", "source")
    assert q.inputs["goal"] == {"set0": pytest.approx(2 / 3), "set1": pytest.approx(1 / 3)}


def test_m1_fills_like_water():
    """Where every source's part falls with its share, slopes are equal at the optimum: a logarithm per source."""
    rng = np.random.default_rng(2)
    k, fall = 0.5 + 0.5 * rng.random((15, 1, 5)), 4 + 2 * rng.random((15, 1, 5))
    q = best_mixture(stand_in(models.data_mixing_m1, {"c": np.ones((15, 1)), "k": k, "t": -fall}))
    level = ((np.log(k * fall) / fall).sum(-1, keepdims=True) - 1) / (1 / fall).sum(-1, keepdims=True)
    share = ((np.log(k * fall) - level) / fall)[:, 0]
    assert share.min() > 0
    np.testing.assert_allclose(q.draws[0], share, atol=2e-4)


def test_a_linear_law_goes_to_a_corner_of_what_is_allowed():
    w = np.array([[[3.0, 2.0, 2.5, 4.0]], [[1.0, 2.0, 2.5, 4.0]]])
    fit = stand_in(models.regmix, {"w": w})
    np.testing.assert_allclose(best_mixture(fit).draws[0], [[0, 1, 0, 0], [1, 0, 0, 0]], atol=1e-12)
    q = best_mixture(fit, at_most={"s1": 0.5, "s0": 0.3}, at_least={"s3": 0.1})
    np.testing.assert_allclose(q.draws[0], [[0, 0.5, 0.4, 0.1], [0.3, 0.5, 0.1, 0.1]], atol=1e-12)
    assert q.p_always.sel(source="s1") == 1 and q.p_never.sel(source="s3") == 1
    assert q.p_never.sel(source="s0") == 0.5 and q.text().sel(source="s3") == "<= 0.1"
    assert q.text().sel(source="s1") == ">= 0.5" and best_mixture(fit).text().sel(source="s3") == "0"


def test_tokens_at_hand_and_their_repetitions_are_largest_shares():
    w = np.array([[[1.0, 2.0, 3.0, 4.0]]])
    fit = stand_in(models.regmix, {"w": w})
    tokens = {"s0": 1e9, "s1": 5e8}
    once = fit.best_mixture(available=tokens, D=1e10)
    np.testing.assert_allclose(once.recommended, [0.1, 0.05, 0.85, 0.0], atol=1e-12)
    assert once.inputs["D"] == 1e10 and once.inputs["available"] == tokens and "repetitions" not in once.inputs
    often = fit.best_mixture(available=tokens, repetitions=4, D=1e10, at_most={"s0": 0.3, "s1": 0.5})
    np.testing.assert_allclose(often.recommended, [0.3, 0.2, 0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(fit.best_mixture(available=tokens, D=1e8).recommended, [1, 0, 0, 0], atol=1e-12)
    by_tokens = nested().best_mixture(available={"s0": 1e9}, N=1e9, D=1e10)
    xr.testing.assert_equal(by_tokens.draws, nested().best_mixture(at_most={"s0": 0.1}, N=1e9, D=1e10).draws)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"repetitions": 4}, "give available too"),
        ({"available": {"s0": 1e9}}, "give one D"),
        ({"available": {"s0": 1e9}, "D": [1e9, 1e10]}, "give one D"),
        ({"available": {"s0": 1e9}, "D": 0}, "D is 0: give a number above 0"),
        ({"available": {"s0": 1e9}, "D": 1e9, "repetitions": -1}, "repetitions is -1"),
        ({"available": {"s0": -1}, "D": 1e9}, "available of s0 is -1"),
        ({"available": {"s9": 1e9}, "D": 1e9}, r"available=\)"),
        ({"available": dict.fromkeys(["s0", "s1", "s2", "s3"], 1e9), "D": 1e10}, "no mixture lies within the bounds"),
        ({"D": 1e9}, "'D'"),
    ],
)
def test_tokens_at_hand_that_say_nothing_are_refused(asked, says):
    fit = stand_in(models.regmix, {"w": np.ones((1, 1, 4))})
    with pytest.raises((RangeError, UnknownName), match=says):
        fit.best_mixture(**asked)


def test_a_pull_to_a_prior_mixture_has_a_closed_form():
    """A line and a Kullback-Leibler divergence: every share is its prior's, weighted by exp(-loss / pull)."""
    w = np.random.default_rng(2).uniform(2, 4, (30, 1, 4))
    fit = stand_in(models.regmix, {"w": w})
    prior = {"s0": 0.1, "s1": 0.2, "s2": 0.7}
    best = fit.best_mixture(near=prior, pull=0.5)
    assert best.inputs["near"] == pytest.approx(prior | {"s3": 0.0}) and best.inputs["pull"] == 0.5
    expected = np.array([0.1, 0.2, 0.7, 0.0]) * np.exp(-w[:, 0] / 0.5)
    np.testing.assert_allclose(best.draws[0], expected / expected.sum(-1, keepdims=True), atol=1e-3)
    assert float(best.regret(best.draws[0, 3]).draws[0, 3]) == pytest.approx(0, abs=1e-6)
    strong = fit.best_mixture(near=prior, pull=1e3)
    np.testing.assert_allclose(strong.recommended, [0.1, 0.2, 0.7, 0.0], atol=1e-3)
    gain = best.gain(prior).draws
    np.testing.assert_allclose(gain[0], w[:, 0] @ ([0.1, 0.2, 0.7, 0.0] - best.recommended.values), atol=1e-9)
    with pytest.raises(RangeError, match="the bounds of s3 exclude each other, at least 0.1"):
        fit.best_mixture(near=prior, pull=0.5, at_least={"s3": 0.1})
    for asked in ({"near": prior}, {"pull": 0.1}, {"near": prior, "pull": 0.0}):
        with pytest.raises(RangeError, match="pull"):
            fit.best_mixture(**asked)


def test_every_draw_agrees_with_a_general_optimiser():
    draws = random_mixing()
    q = best_mixture(stand_in(models.data_mixing, draws), goal={"set0": 1, "set2": 3})

    def loss(r, t):
        return 0.25 * np.exp(t[0] @ r) + 0.75 * np.exp(t[2] @ r)

    for t, mine in zip(draws["t"][:8], q.draws.values[0], strict=False):
        best = by_slsqp(loss, t)
        assert loss(mine, t) <= best.fun + 1e-7
    assert q.regret().draws.min() >= 0 and q.regret().unit == "nats per token"


def test_the_recommended_mixture_has_the_smallest_expected_loss():
    draws = random_mixing(draws=200)
    q = best_mixture(stand_in(models.data_mixing, draws))

    def expected(r):
        return np.exp(draws["t"] @ r).mean()

    best = by_slsqp(expected)
    assert q.recommended.dims == ("source",) and float(q.recommended.sum()) == pytest.approx(1)
    assert expected(q.recommended.values) <= best.fun + 1e-7
    even = dict.fromkeys(["s0", "s1", "s2", "s3"], 0.25)
    assert float(q.regret().mean()) < float(q.regret(even).mean())
    gain = q.gain(over=even)
    np.testing.assert_allclose(gain.draws, q.regret(even).draws - q.regret().draws, atol=1e-7)
    middle = float(q.regret(even).median())
    assert float(q.probability_within(even, middle)) == pytest.approx(0.5, abs=0.01)
    several = q.regret(pd.DataFrame([even, {"s0": 1.0, "s1": 0.0, "s2": 0.0, "s3": 0.0}]))
    assert several.draws.dims == ("chain", "draw", "mixture")
    np.testing.assert_allclose(several.draws.sel(mixture=0), q.regret(even).draws, atol=1e-12)
    with pytest.raises(RangeError, match="tolerance"):
        q.probability_within(even, 0)


# ------------------------------------------------------------------------------------------------------ the nested law
def nested(draws: int = 12) -> Fit:
    rng = np.random.default_rng(5)
    t, a, b = (rng.normal(-1, 1, (1, 2, 3)) + 0.1 * rng.standard_normal((draws, 2, 3)) for _ in range(3))
    one = np.ones((draws, 2))
    coefficients = {"c": one, "t": t, "a": a, "alpha": 0.3 * one, "b": b, "beta": 0.5 * one}
    return stand_in(models.nested_data_mixing, coefficients, N=[1e8, 1e8, 1e9, 1e9], D=[1e9, 1e10, 1e9, 1e10])


def test_the_best_mixture_moves_with_scale_in_the_nested_law():
    fit = nested()
    several = best_mixture(fit, N=[1e8, 1e11], D=1e10)
    assert several.draws.dims == ("chain", "draw", "source", "N") and several.recommended.dims == ("source", "N")
    for N in (1e8, 1e11):
        one = best_mixture(fit, N=N, D=1e10)
        np.testing.assert_allclose(one.goal(one.draws), one.goal(several.draws.sel(N=N, drop=True)), atol=2e-7)
        np.testing.assert_allclose(
            one.goal(one.recommended), one.goal(several.recommended.sel(N=N, drop=True)), atol=1e-4
        )
    assert float(abs(several.draws.sel(N=1e8) - several.draws.sel(N=1e11)).max()) > 0.01
    assert several.regret().draws.dims == ("chain", "draw", "N")
    with pytest.raises(Exception, match="N is missing"):
        best_mixture(fit, D=1e10)


# -------------------------------------------------------------------------------------------------- range, names, notes
def test_shares_stay_inside_the_laws_range_unless_rows_outside_were_included():
    draws = {"c": [[1.0]], "t": [[[-1.0, 0.5, 0.7]]]}
    shares = bl.Covariate("1", "share of every source", valid=(1e-6, 1.0))
    inside = best_mixture(
        stand_in(replace(models.data_mixing, covariates={"weight": shares}), draws, outside="exclude")
    )
    np.testing.assert_allclose(inside.draws.squeeze(), [1 - 2e-6, 1e-6, 1e-6], atol=1e-9)
    assert inside.p_never.sel(source="s1") == 1
    included = best_mixture(stand_in(models.data_mixing, draws))
    np.testing.assert_allclose(included.draws.squeeze(), [1, 0, 0], atol=1e-12)
    assert "more of s0 than any fitted run had" in included.note
    assert "less of s1, s2 than any fitted run had" in included.note


def test_questions_that_make_no_sense_are_refused():
    fit = stand_in(models.data_mixing, random_mixing())
    with pytest.raises(UnknownName, match="did you mean 'set0'"):
        best_mixture(fit, goal="sett0")
    with pytest.raises(RangeError, match="importances"):
        best_mixture(fit, goal={"set0": -1.0})
    with pytest.raises(UnknownName, match="source"):
        best_mixture(fit, at_most={"github": 0.3})
    with pytest.raises(LawError, match="does not depend on weight"):
        law = {"E": [[1.0]], "A": [[0.4]], "alpha": [[0.3]], "B": [[0.4]], "beta": [[0.3]]}
        best_mixture(stand_in(models.chinchilla, law, N=[1e8, 1e9, 1e8, 1e9], D=[1e9, 1e9, 1e10, 1e10]))


def test_many_sources_and_draws_in_no_time():
    draws = random_mixing(draws=400, evals=2, source=40)
    q = best_mixture(stand_in(models.data_mixing, draws))
    assert q.draws.shape == (1, 400, 40) and "may lie up to" not in q.note


def test_what_a_mixture_is_worth_in_tokens_has_a_closed_form():
    fit, D = nested(), 5e9
    mixture, other = np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.3, 0.4])
    names = ["s0", "s1", "s2"]
    asked: dict[str, Any] = {"N": 1e9, "D": D, "goal": "set0"}
    shares = {"mixture": dict(zip(names, mixture, strict=True)), "than": dict(zip(names, other, strict=True))}
    q = fit.equivalent_compute(**shares, **asked)
    c = {k: fit.posterior[k].sel(eval="set0", chain=0).values for k in ("t", "a", "b")}
    wanted = sum(np.exp(c[k] @ mixture) * (0.5**-0.5 if k == "b" else 1) for k in c)
    rest = (wanted - np.exp(c["t"] @ other) - np.exp(c["a"] @ other)) / np.exp(c["b"] @ other)
    expected = np.where(rest > 0, np.maximum(rest, 1e-9) ** -2 / 0.5, np.inf).clip(1e-3, 1e3)
    assert (expected < 1e3).any()
    np.testing.assert_allclose(q.draws[0], expected, rtol=1e-6)
    assert float(q.p_always) == (expected == 1e3).mean() and float(q.p_never) == (expected == 1e-3).mean()
    same = fit.equivalent_compute(mixture=shares["than"], than=shares["than"], **asked)
    np.testing.assert_allclose(same.draws, 1, rtol=1e-9)
    several = fit.equivalent_compute(**shares, **asked | {"D": [5e9, 1e11]})
    np.testing.assert_allclose(several.draws.sel(D=5e9), q.draws)
    with pytest.raises(LawError, match="does not depend on D"):
        stand_in(models.data_mixing, random_mixing()).equivalent_compute(mixture={"s0": 1}, than={"s1": 1}, D=1e9)


def test_predictions_of_mixtures_survive_the_file(tmp_path):
    fit = nested()
    mixtures = pd.DataFrame([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], columns=["s0", "s1", "s2"], index=["even", "one"])
    band = fit.predict(N=1e9, D=[1e9, 1e10], weight=mixtures)
    assert set(band.draws.dims) == {"chain", "draw", "eval", "D", "mixture"}
    c = {k: fit.posterior[k].isel(chain=0, draw=3, eval=1).values for k in fit.model.law.coefficients}
    by_hand = models.nested_data_mixing(1.0, 1.0, np.array([0.2, 0.3, 0.5]), **c)
    assert float(band.draws.sel(mixture="even", D=1e10, eval="set1")[0, 3]) == pytest.approx(float(by_hand))
    np.testing.assert_allclose(
        fit.predict(N=1e9, D=1e9, weight={"s0": 1.0}).draws, band.draws.sel(mixture="one", D=1e9)
    )
    back = bl.load(fit.save(tmp_path / "fit.nc"))
    np.testing.assert_allclose(
        back.predict(N=1e9, D=1e9, weight={"s0": 1.0}).draws, band.draws.sel(mixture="one", D=1e9)
    )
    xr.testing.assert_allclose(back.best_mixture(N=1e9, D=1e9).draws, fit.best_mixture(N=1e9, D=1e9).draws)


# ------------------------------------------------------------------------------------------------------ domain vectors
def test_answers_in_shares_of_data_sets_through_their_vectors():
    fit = stand_in(models.domain2vec, random_mixing(evals=1, source=3))
    names = ["s0", "s1", "s2"]
    same = pd.DataFrame(np.eye(3), index=names, columns=["x", "y", "z"])
    plain, mapped = best_mixture(fit), best_mixture(fit, vectors=same)
    assert list(mapped.draws["source"].values) == ["x", "y", "z"]
    np.testing.assert_allclose(mapped.draws, plain.draws, atol=1e-6)
    unseen = same.assign(new=plain.draws.mean(["chain", "draw"]).values)
    only_new = xr.DataArray([0.0, 0.0, 0.0, 1.0], coords={"source": [*"xyz", "new"]})
    loss = best_mixture(fit, vectors=unseen).goal(only_new)
    np.testing.assert_allclose(loss, plain.goal(plain.draws.mean(["chain", "draw"])))
    with pytest.raises(UnknownName, match="meta-domain in the fit"):
        best_mixture(fit, vectors=pd.DataFrame(np.eye(4), index=[*names, "s9"], columns=list("wxyz")))
    with pytest.raises(UnknownName, match="meta-domain in the vectors"):
        best_mixture(fit, vectors=same.iloc[:2][["x", "y"]])


def upsampling(draws: dict[str, Any], **settings: Any) -> Fit:
    """A fit of scores at four windows with given draws."""
    return stand_in(models.domain_upsampling, draws, duration=[0.0, 0.05, 0.1, 0.3], **settings)


def test_an_answer_of_many_sources_begins_with_the_main_ones_and_shows_all():
    best = stand_in(models.data_mixing, random_mixing(source=17)).best_mixture()
    lines = repr(best).splitlines()
    by_share = best.recommended.to_series().sort_values(ascending=False)
    shown = [line for line in lines if line.startswith("s") and line.split()[0] in by_share.index]
    assert len(shown) == 17 and "..." not in repr(best)
    assert [float(line.split()[1]) for line in shown] == pytest.approx(by_share.round(3).tolist())
    assert shown[0].split()[0] == by_share.index[0] != "s0"


def test_one_source_that_a_note_does_not_name_is_one_other():
    five, six = (stand_in(models.data_mixing, random_mixing(source=n, evals=1)).best_mixture() for n in (5, 6))
    assert "less of s0, s1, s2 and 1 other than any" in five.remark
    assert "less of s0, s1, s2 and 2 others than any" in six.remark
