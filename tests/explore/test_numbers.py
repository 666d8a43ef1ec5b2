"""The numbers of a page: those of the fit, by every law, in JavaScript and where no program reads that, in Python."""

import base64
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare import Coefficient, Covariate, law, log, positive, product, real, total
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import LawError
from bayeslaw.explore.contents import contents, formulas, travelling
from bayeslaw.explore.formulas import formula_of
from bayeslaw.posterior.draws import UNSEEN, Posterior
from bayeslaw.posterior.losses import predict
from tests.explore.javascript import NODE, by_browser, by_node, needs_node
from tests.stand_ins import second_stage, stand_in

READ = {"exp": np.exp, "log": np.log, "abs": np.abs, "maximum": np.maximum, "minimum": np.minimum, "where": np.where}


def points_of(fit: Posterior, number: int = 5) -> list[dict[str, Any]]:
    """Columns and labels of some measured rows."""
    rows, law = fit.model.design.rows, fit.model.law
    names = [*law.columns, *(d for d in fit.model.design.groups if d not in law.columns)]
    names += [cov.of for cov in law.covariates.values() if cov.of and cov.of not in names]
    places = np.linspace(0, rows.sizes["row"] - 1, number).astype(int)
    return [
        {c: rows[c].isel(row=i) if c == WEIGHT else rows[c].values[i] for c in dict.fromkeys(names)} for i in places
    ]


@cache
def made(name: str, table_for: Any) -> tuple[Posterior, list[dict[str, Any]], dict[str, Any]]:
    """A fit of a law of the catalogue, points at which it is asked, and what its page computes with."""
    law = models.catalogue[name]
    fit = second_stage(20) if law is models.loss_to_score else stand_in(law, table_for, draws=20)
    return fit, points_of(fit), contents(fit)


def asked(fit: Posterior, content: dict[str, Any], point: dict[str, Any], mode: str = "misfit") -> dict[str, Any]:
    """The question of a point, as the page has it."""
    x = [float(point[c]) for c in fit.model.law.columns if c != WEIGHT]
    x += point[WEIGHT].values.tolist() if WEIGHT in point else []
    labels = [
        [float(n) for n in g["labels"]].index(float(point[g["name"]]))
        if g["name"] in fit.model.law.columns
        else g["labels"].index(str(point[g["name"]]))
        for g in content["groups"]
    ]
    return {"x": x, "labels": labels, "mode": mode}


def by_python(fit: Posterior, content: dict[str, Any], questions: list[dict[str, Any]]) -> list[Any]:
    """The same losses of the mean law: Python reads the text of the formula, and the draws that travel."""
    evals, texts = content["evals"], formulas(fit)
    answers = []
    for question in questions:
        c = []
        for one in content["coefficients"]:
            of_groups = [len(content["groups"][g]["labels"]) for g in one["groups"]]
            values = np.frombuffer(base64.b64decode(one["values"]), "<f8")
            values = values.reshape(*of_groups, len(evals), content["draws"], one["size"])
            c += [*np.moveaxis(values[tuple(question["labels"][g] for g in one["groups"])], -1, 0)]
        own = [[values[e] for values in c] for e in range(len(evals))]
        compiled = [compile(texts[one["role"]]["loss"], "loss", "eval") for one in evals]
        answers.append(
            [
                np.broadcast_to(eval(compiled[e], READ | {"x": question["x"], "c": own[e]}), content["draws"])
                for e in range(len(evals))
            ]
        )
    return answers


def predicted(fit: Posterior, point: dict[str, Any]) -> np.ndarray:
    losses = predict(fit, **point).draws
    return losses.transpose("eval", "chain", "draw").values.reshape(len(fit.evals), -1)


def agree(answers: list[Any], fit: Posterior, points: list[dict[str, Any]]) -> None:
    for answer, point in zip(answers, points, strict=True):
        np.testing.assert_allclose(np.array(answer), predicted(fit, point), rtol=1e-9)


READERS = [by_python, pytest.param(by_node, marks=needs_node)]


@pytest.mark.parametrize("name", models.catalogue)
def test_losses_are_those_of_predict_and_sliders_have_what_a_run_can_have(name, table_for):
    fit, points, content = made(name, table_for)
    for column in content["columns"]:
        assert column["low"] < column["high"] and column["low"] <= column["start"] <= column["high"], column
        assert not column["log"] or column["low"] > 0
    questions = [asked(fit, content, point) for point in points]
    agree(by_python(fit, content, questions), fit, points)
    if NODE:
        agree(by_node(fit, content, questions), fit, points)


def test_a_browser_computes_the_same_losses_of_every_law(browser, table_for, tmp_path):
    asking, fits = [], []
    for name in models.catalogue:
        fit, points, content = made(name, table_for)
        asking.append((fit, content, [asked(fit, content, point) for point in points]))
        fits.append((fit, points))
    for answers, (fit, points) in zip(by_browser(browser, asking, tmp_path), fits, strict=True):
        agree(answers, fit, points)


@pytest.mark.parametrize("reader", READERS)
def test_groups_have_coefficients_of_their_own_and_a_new_one_those_of_the_population(reader, table_for):
    table = table_for(models.dcpt)
    prior = bl.Model(
        models.dcpt,
        bl.read_runs(table),
        by={"B": "domain", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        monotone=None,
        outside="include",
        misfit=None,
    ).prior_predictive(draws=40)
    content = contents(prior)
    assert {g["name"]: g["labels"][-1] for g in content["groups"]} == {"domain": UNSEEN, "N": "2000000000.0"}
    points = [*points_of(prior), {"N": 5e8, "D": 3e9, "domain_share": 0.4, "domain": UNSEEN}]
    agree(reader(prior, content, [asked(prior, content, point) for point in points]), prior, points)


@pytest.mark.parametrize("reader", READERS)
def test_a_law_of_ones_own_may_use_the_whole_algebra(reader, table_for):
    @law(
        title="own",
        source="none",
        equation="L",
        covariates={"N": Covariate("1", "size", reference=1e9), "weight": Covariate("1", "shares")},
        coefficients={
            "E": Coefficient(positive(1.5, spread=0.5), "nats", "floor", "test"),
            "var": Coefficient(real(0.1, sd=0.02), "1", "a word of JavaScript", "test", over="source"),
        },
    )
    def own(N, weight, /, *, E, var):
        shared = (weight + 0.1).clip(0.2, 0.9)
        return E - -(log(N) ** 2) * 0.01 + total(var * shared, "source") * 2 ** -product(1 - weight, "source")

    table = table_for(models.nested_data_mixing).drop(columns="D")
    fit = bl.Model(own, bl.read_runs(table), monotone=None, misfit=None).prior_predictive(draws=10)
    points, content = points_of(fit), contents(fit)
    agree(reader(fit, content, [asked(fit, content, point) for point in points]), fit, points)


def test_a_body_beyond_the_algebra_is_refused_in_a_sentence():
    @law(
        title="own",
        source="none",
        equation="L",
        covariates={"N": Covariate("1", "size", reference=1e9)},
        coefficients={"E": Coefficient(positive(1.5, spread=0.5), "nats", "floor", "test")},
    )
    def own(N, /, *, E):
        return E + np.arctan(N)

    with pytest.raises(LawError, match=r"law own cannot be evaluated .* use \+ - \* / \*\*"):
        formula_of(own, {"N": 1e9}, "any")


@needs_node
def test_misfit_and_new_run_are_those_of_the_fit(table_for):
    runs = bl.read_runs(table_for(models.dcpt))
    noise = bl.Noise(size_exponent=bl.positive(0.2, spread=0.3))
    model = bl.Model(models.dcpt, runs, misfit="scales", monotone=None, outside="include", noise=noise)
    fit = travelling(model.prior_predictive(draws=60), 60)
    assert set(fit.processes) == {"N", "D", "domain_share", "domain_share_D", "N_D"}
    content, alone = contents(fit), fit.without_misfit()
    between = [{"N": 7e9, "D": 3.3e9, "domain_share": 0.37}, {"N": 2e8, "D": 9e11, "domain_share": 0.0}]
    points = points_of(fit) + between
    questions = [asked(fit, content, point, mode) for mode in ("misfit", "law", "new") for point in points]
    answers = by_node(fit, content, questions)
    agree(answers[: len(points)], fit, points)
    agree(answers[len(points) : 2 * len(points)], alone, points)
    for answer, point in zip(answers[2 * len(points) :], points, strict=True):
        error = fit.error(columns=fit.columns(**{k: v for k, v in point.items() if k != "domain"}))
        factor = np.exp(error.transpose("eval", "chain", "draw").values.reshape(len(fit.evals), -1))
        np.testing.assert_allclose(np.array(answer), predicted(fit, point) * factor, rtol=1e-9)


@needs_node
def test_misfit_along_the_annealed_rate_is_counted_in_that_of_the_reference_run(table_for):
    runs = stand_in(models.lr_annealing, table_for, draws=10).model.runs
    model = bl.Model(models.lr_annealing, runs, monotone=None, reference={"annealed": 3e-4})
    fit = model.prior_predictive(draws=60)
    assert set(fit.processes) == {"S1", "annealed", "annealed_S1"}
    points = [*points_of(fit), {"S1": 20.0, "annealed": 1e-4}, {"S1": 3.0, "annealed": 5e-4}]
    content = contents(fit)
    agree(by_node(fit, content, [asked(fit, content, point) for point in points]), fit, points)


def limits(fit: bl.Fit, content: dict[str, Any], asking: dict[str, Any], mode: str) -> dict[str, Any]:
    """The page's question of a critical ratio."""
    point = {"domain_share": 0.3, "N": asking.get("N"), "D": asking["D"], "domain": asking.get("domain", "code")}
    at = asked(fit, content, point, mode)
    (rule,) = {"max_rise", "max_increase"} & set(asking) or {asking["rule"]}
    eval = content["limit"]["evals"][0]
    before: Any = {"mean": 0.0}
    if rule != "turning-point":
        (before,) = [b for b in content["limit"]["baselines"] if b["eval"] == eval and b["at"]["N"] == asking["N"]]
    return at | {"limit": {"eval": eval, "rule": rule, "size": asking.get(rule, 0.0), "before": before}}


@needs_node
@pytest.mark.parametrize("mode", ["misfit", "new"])
def test_the_critical_ratio_is_that_of_the_fit(mode, table_for):
    fit = stand_in(models.dcpt, table_for, draws=60)
    scattered = fit.model.runs.baseline.assign(general_loss=lambda t: 3.2 + 0.1 * np.arange(len(t)) / len(t))
    model = bl.Model(models.dcpt, replace(fit.model.runs, baseline=scattered), monotone=None)
    fit = bl.Fit(model, fit.idata, fit.settings, 1.0)
    content = contents(fit)
    assert any(b["sd"] > 0 and b["errors"] for b in content["limit"]["baselines"])
    asks: list[dict[str, Any]] = [{"N": 5e8, "D": 1e9, "max_rise": rise} for rise in (-0.05, 0.0, 0.03, 0.5)]
    asks.append({"N": 1e8, "D": 1e9, "max_increase": 0.1})
    answers = by_node(fit, content, [limits(fit, content, ask, mode) for ask in asks])
    for answer, ask in zip(answers, asks, strict=True):
        ratio = fit.critical_ratio(**ask, new_run=mode == "new")
        np.testing.assert_allclose(answer, ratio.draws.transpose("chain", "draw").values.ravel(), atol=1e-9)


@needs_node
def test_the_turning_point_is_that_of_the_fit(table_for):
    fit = stand_in(models.cmr_general, table_for, draws=60)
    content = contents(fit)
    asks: list[dict[str, Any]] = [{"D": D, "rule": "turning-point"} for D in (1e8, 3e9, 5e10)]
    answers = by_node(fit, content, [limits(fit, content, ask, "law") for ask in asks])
    for answer, ask in zip(answers, asks, strict=True):
        ratio = fit.critical_ratio(**ask)
        np.testing.assert_allclose(answer, ratio.draws.transpose("chain", "draw").values.ravel(), atol=1e-9)


def test_draws_of_very_many_numbers_are_fewer(table_for, monkeypatch):
    fit = stand_in(models.dcpt, table_for, draws=200)
    assert travelling(fit, 300).draws == 200 and travelling(fit, 100).draws == 100
    monkeypatch.setattr("bayeslaw.explore.contents.MOST_NUMBERS", 1000)  # 18 a draw
    assert travelling(fit, 300).draws == 50
