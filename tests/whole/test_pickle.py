"""Models, fits and answers travel to other processes by the pickle of the standard library."""

import multiprocessing
import pickle
import sys
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cloudpickle
import numpy as np
import pytest

import bayeslaw as bl
from bayeslaw import errors, models
from bayeslaw.validation import executors
from tests.stand_ins import stand_in


def there(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@bl.law(
    title="A power",
    source="this test",
    equation="E",
    covariates={"D": bl.Covariate("1", "tokens")},
    coefficients={"E": bl.Coefficient(bl.positive(2.0, spread=0.1), "nats", "level", "a test")},
)
def power(D, /, *, E):
    return E * D**-0.1


def test_a_law_of_a_module_is_pickled_by_reference():
    assert there(power) is power
    for law in models.catalogue.values():
        assert there(law) is law and len(pickle.dumps(law)) < 200
        assert cloudpickle.loads(cloudpickle.dumps(law)) is law


def test_another_law_is_pickled_by_its_parts():
    """The functions of a notebook or of a function have no name to be found by; cloudpickle takes them along."""

    def shifted(N, D, /, *, E, A, alpha, B, beta):
        return models.chinchilla.function(N, D, E=E, A=A, alpha=alpha, B=B, beta=beta) + 0.1

    own = replace(models.chinchilla, function=shifted)
    with pytest.raises((AttributeError, pickle.PicklingError), match="shifted"):
        pickle.dumps(own)
    assert cloudpickle.loads(cloudpickle.dumps(own)).card() == own.card()


def test_laws_reach_workers_that_lack_their_module(monkeypatch):
    """What executors send holds the function itself."""
    sent: list[bytes] = []

    def submit(_: object, packed: bytes) -> Future[None]:
        sent.append(packed)
        return Future()

    monkeypatch.setattr(executors, "_submit", submit)
    monkeypatch.setattr(executors, "as_completed", lambda _: [])
    assert list(executors._submitted(len, {"a": (power,)}, ThreadPoolExecutor(1))) == []
    monkeypatch.delitem(sys.modules, power.function.__module__)
    _, _, law = cloudpickle.loads(sent[0])
    assert law is not power and law(2.0, E=3.0) == power(2.0, E=3.0)


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_a_fit_and_its_answers_travel(how, table_for):
    fit = stand_in(models.chinchilla, table_for, draws=60)
    expected = fit.predict(N=1e9, D=1e10)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(how)) as pool:
        best = pool.submit(fit.allocation, flops=1e20).result()
        np.testing.assert_array_equal(pool.submit(bl.Fit.predict, fit, N=1e9, D=1e10).result().draws, expected.draws)
    here = fit.allocation(flops=1e20)
    np.testing.assert_array_equal(best.draws, here.draws)
    assert best.cautions == here.cautions


def test_what_is_computed_of_a_fit_stays_behind(table_for):
    fit = stand_in(models.dcpt, table_for, draws=60)
    assert fit.checks().results and fit.kept and fit.model.design
    other = there(fit)
    assert (
        other.kept == {}
        and "design" not in vars(other.model)
        and other.model.law is fit.model.law
        and other.settings == fit.settings
    )
    assert repr(other.model) == repr(fit.model)
    assert [c.name for c in there(fit.checks())] == [c.name for c in fit.checks()]


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n not in ("MissingExtra", "shown", "unknown_name")])
def test_an_error_keeps_its_sentence(name):
    assert str(there(getattr(errors, name)("a sentence"))) == "a sentence"


def test_an_error_of_two_words_keeps_its_sentence():
    missing = errors.MissingExtra("dask", "Dask")
    assert str(there(missing)) == str(missing)
