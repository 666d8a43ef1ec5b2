"""What users meet first: sentences where an argument is of another kind, and objects that say what they are."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.arguments import checked
from bayeslaw.base.words import facts_html, run_called
from bayeslaw.errors import ArgumentError, BayeslawError, DataError, RangeError
from bayeslaw.posterior.store import _plain, _prior
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.validation.splits import Fold
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in


@pytest.fixture
def fit(table_for: Callable[..., pd.DataFrame]) -> Fit:
    """A fit of the D-CPT law without sampling."""
    return stand_in(models.dcpt, table_for, draws=20, by={"E": "domain"})


LIBRARY: Any = bl
"""The package, to a type checker anything: these arguments are wrong on purpose."""

WRONG: dict[str, Any] = {
    "a Fit for a Model": (
        lambda f: LIBRARY.evaluate(f, bl.splits.by("N")),
        "model is a Fit: give a Model, .* fit.model",
    ),
    "a column for splits": (
        lambda f: LIBRARY.evaluate(f.model, "N"),
        r"splits is 'N': give Splits, .*bl.splits.by\('N'\)",
    ),
    "a Fit to calibrate": (lambda f: LIBRARY.calibrate(f, 3), "model is a Fit: give a Model"),
    "a number of simulations": (lambda f: LIBRARY.calibrate(f.model, "3"), r"n is '3': give a whole number"),
    "a table of early runs": (
        lambda f: f.new_domain(pd.DataFrame()),
        r"early_runs is a DataFrame: give Runs, bl.read_r",
    ),
    "a number for a fit": (lambda f: LIBRARY.learnability(3), "fit is 3: give a Fit"),
    "a model for a fit": (lambda f: LIBRARY.requirements(f.model), "fit is a Model: give a Fit"),
    "fits in a list": (lambda f: LIBRARY.compare([f, f]), r"entries is a list: give a mapping"),
    "draws": (lambda f: f.model.fit(draws=10.5), "draws is 10.5: give a whole number"),
    "a truth value for a number": (lambda f: f.model.fit(draws=True), "draws is True: give a whole number"),
    "a column to split by": (lambda f: LIBRARY.splits.by("N", 3), "columns is 3: give a text"),
    "a median": (lambda f: LIBRARY.positive("1", 0.5), "median is '1': give a number"),
    "a limit": (lambda f: f.critical_ratio(N=2e9, D=1e10, max_rise="3 %"), "max_rise is '3 %': give a number"),
    "a probability": (
        lambda f: f.predict(N=2e9, D=1e10, domain_share=0.5, domain="law").interval("0.9"),
        "prob is '0.9'",
    ),
    "a seed below 0": (
        lambda f: f.predict(N=2e9, D=1e10, domain_share=0.5, seed=-1),
        "seed is -1: give a whole number",
    ),
    "a rate": (lambda f: LIBRARY.schedules.cosine(100, "3e-4"), "peak is '3e-4': give a number"),
    "a path": (lambda f: f.save(3), "path is 3: give a path"),
    "a reference": (lambda f: replace(f.model, reference=3), "reference is 3: give a mapping"),
    "a model for runs": (lambda f: LIBRARY.splits.by("N")(f.model), "runs is a Model: give Runs"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_kind_is_refused_in_a_sentence(name, fit):
    call, words = WRONG[name]
    with pytest.raises(BayeslawError, match=words) as caught:
        call(fit)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_the_door_takes_what_the_annotations_say():
    def plain(a: int, b: "float | None" = None, *rest: str, late: "list[Fit] | bool" = False, **more: Any) -> int:
        return a

    door: Any = checked(plain)

    assert door(np.int64(3), 2, "x", late=[], other=object()) == 3
    assert door(np.array(3), np.float32(2), late=np.True_) == 3
    for wrong in ({"a": "3"}, {"a": 3.5}, {"a": 1, "b": "x"}, {"a": 1, "late": 3}):
        with pytest.raises(ArgumentError):
            door(**wrong)
    with pytest.raises(TypeError, match="missing"):
        door()


ELSEWHERE: dict[str, tuple[Any, str]] = {
    "random_seed of fit": (lambda f: f.model.fit(random_seed=1), "did you mean 'seed'"),
    "random_seed of predict": (lambda f: f.predict(N=2e9, D=1e10, random_seed=1), "did you mean 'seed'"),
    "random_seed of a table": (lambda f: f.predict(pd.DataFrame({"N": [1e9]}), random_seed=1), "did you mean 'seed'"),
    "random_seed of evaluate": (lambda f: bl.evaluate(f.model, bl.splits.by("N"), random_seed=1), "mean 'seed'"),
    "progressbar of fit": (lambda f: f.model.fit(progressbar=False), "did you mean 'progress'"),
    "progressbar of calibrate": (lambda f: bl.calibrate(f.model, progressbar=False), "did you mean 'progress'"),
    "hdi_prob of summary": (lambda f: f.summary(hdi_prob=0.9), "did you mean 'prob'"),
    "ci_prob of a figure": (lambda f: LIBRARY.plots.plot_fit(f, ci_prob=0.9), "did you mean 'prob'"),
    "nuts_sampler of fit": (lambda f: f.model.fit(nuts_sampler="numpyro"), "nutpie samples every fit: leave it out"),
    "return_inferencedata": (lambda f: f.model.fit(return_inferencedata=True), "fit.idata is a DataTree"),
    "var_names of summary": (lambda f: f.summary(var_names=["E"]), "choose from the result"),
    "samples of fit": (lambda f: f.model.prior_predictive(samples=10), "did you mean 'draws'"),
    "an argument of a model": (lambda f: LIBRARY.Model(models.dcpt, f.model.runs, prior={}), "did you mean 'priors'"),
    "a switch of an error model": (lambda f: LIBRARY.Noise(corelated=True), "did you mean 'correlated'"),
    "a label": (
        lambda f: f.critical_ratio(N=2e9, D=1e10, baseline=3.0, labels={"domian": "law"}),
        "did you mean 'domain'",
    ),
    "labels in a list": (lambda f: f.critical_ratio(N=2e9, D=1e10, labels=["law"]), "give a mapping"),
    "a label as an argument": (lambda f: f.allocation(flops=1e21, family="opt"), "labels={'family': ...}"),
    "a limit of a report": (lambda f: LIBRARY.report(f, "report.md", max_rise=0.01), "question={'max_rise': ...}"),
    "a column of a plot": (lambda f: bl.plots.plot_along(f, "D", N=2e9, domian="law"), "did you mean 'domain'"),
}
"""Names that people know from other packages, or nearly know from this one."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_from_elsewhere_are_answered_with_the_name_here(name, fit):
    call, words = ELSEWHERE[name]
    with pytest.raises(BayeslawError, match=words):
        call(fit)


def test_public_objects_say_what_they_are(fit):
    law = models.dcpt
    objects = [bl.splits.by("N"), bl.Noise(), bl.positive(0.005, 1.0), law.coefficients["E"], law.covariates["N"]]
    for one in [*objects, bl.Prior("Gamma", alpha=2, beta=3), fit.model, fit.model.runs]:
        assert " at 0x" not in repr(one) and "mu=" not in repr(one), repr(one)
        assert one._repr_html_().startswith("<p><b>")
    assert repr(bl.splits.by("N")) == "Splits by(N): hold out whole runs"
    assert repr(Fold("N 1e9", np.array([True, False]))) == "Fold N 1e9: 1 of 2 rows held out"
    assert repr(bl.positive(1.5, 0.5, dims="N")) == "log-normal, median 1.5 (89 %: 0.67 to 3.3), one for each N"
    assert "&lt;b&gt;" in facts_html("<b>", [("a", "b")])


def test_a_prior_is_written_as_it_was_given_and_read_back():
    inner = bl.Prior("Normal", mu=0.0, sigma=0.5, dims="eval")
    prior = bl.Prior("LogNormal", mu=inner, sigma=bl.Prior("HalfNormal", sigma=1.0), dims=("eval", "domain"))
    assert eval(str(prior), {"Prior": bl.Prior}) == prior
    back = _prior(_plain(prior))
    assert back == prior and isinstance(back.parameters["mu"], bl.Prior)


def test_a_critical_ratio_says_which_question_it_answers(fit):
    ask: dict[str, Any] = {"N": 2e9, "D": 1e10, "domain": "code"}
    at = "critical ratio at N 2 B, D 10 B, domain code; the general loss "
    base = f"{fit.model.runs.baseline['general_loss'].mean():.4g}"
    assert f"{at}not above a baseline of" in repr(fit.critical_ratio(**ask))
    one = fit.critical_ratio(**ask, max_rise=0.01, baseline=2.9)
    assert f"{at}at most 1 % above a baseline of 2.9 nats; mean law; 89 % interval" in repr(one)
    assert "50 % interval" in one.about(0.5) and float(base) > 0
    nats = fit.critical_ratio(**ask, max_increase=0.05, baseline=(2.9, 0.01), new_run=True)
    assert f"{at}at most 0.05 nats above a baseline of 2.9 (sd 0.01) nats; new run" in nats._repr_html_()
    both = fit.critical_ratio(**ask | {"N": [5e8, 2e9]})
    assert "critical ratio at D 10 B, domain code; the general loss not above the baseline" in repr(both)
    with pytest.raises(RangeError, match="N is -1"):
        fit.critical_ratio(**ask | {"N": -1})


def test_numbers_of_things_are_said_as_people_say_them():
    assert [run_called(name) for name in ("run 65", "a7f", "runner")] == ["run 65", "the run a7f", "the run runner"]
    table = pd.DataFrame({"D": [1e9, 2e9], "N": 1e8, "note": np.nan, "loss": [3.0, 2.9]})
    said = repr(bl.read_runs(table))
    assert "2 in 1 run" in said and "missing in every row" in said and "levels" in said and "(1 levels)" not in said


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_in_another_encoding_says_which_to_save_it_in(encoding, tmp_path):
    (tmp_path / "runs.csv").write_text("N,D,domain,loss\n1e9,1e9,Bücher,3\n", encoding=encoding)
    with pytest.raises(DataError, match="runs.csv is not text in UTF-8: save it as CSV with the encoding UTF-8"):
        bl.read_runs(tmp_path / "runs.csv")


def test_a_step_too_far_is_no_warning(table_for, monkeypatch):
    model = bl.Model(models.chinchilla, bl.read_runs(table_for(models.chinchilla)))
    monkeypatch.setattr(np.linalg, "solve", lambda _, gradient: np.full(len(gradient), -1e4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(estimate(model, regularised=True, starts=1).sigma).all()
