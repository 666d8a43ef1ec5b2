"""One answer of several models: how many draws each gives, and what cannot be stacked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, RangeError, UnknownName
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in

AT: dict[str, Any] = {"N": [5e8, 1e9], "D": 1e10}


@pytest.fixture
def fits(table_for: Any) -> dict[str, Fit]:
    one, other = (stand_in(models.catalogue[name], table_for, draws=100) for name in ("chinchilla", "skaling"))
    same = replace(other.model, runs=one.model.runs)
    return {"chinchilla": one, "skaling": replace(other, model=same)}


def test_each_model_gives_as_many_draws_as_its_weight(fits):
    answers = {name: fit.predict(**AT).draws for name, fit in fits.items()}
    found = bl.stacked(fits, lambda fit: fit.predict(**AT), weights={"chinchilla": 1, "skaling": 3})
    assert isinstance(found, Quantity) and found.draws.dims == ("chain", "draw", "eval", "N")
    assert found.draws.sizes["draw"] == 200 and found.remark == "stacked: 0.25 chinchilla, 0.75 skaling"
    first = found.draws.isel(chain=0, eval=0, N=0).values
    for name, share in (("chinchilla", 50), ("skaling", 150)):
        assert np.isin(first, answers[name].isel(eval=0, N=0).values).sum() == share
    mean = 0.25 * answers["chinchilla"].mean() + 0.75 * answers["skaling"].mean()
    assert float(found.draws.mean()) == pytest.approx(float(mean), rel=1e-3)
    both = found.draws.isel(chain=0, eval=0)  # a draw stays whole
    whole = answers["skaling"].stack(sample=("chain", "draw")).isel(eval=0).transpose("sample", "N").values
    assert (both.values[-1] == whole).all(axis=1).any()


@pytest.mark.filterwarnings("ignore:.*cannot be trusted:UserWarning")  # draws that were not sampled
def test_the_weights_are_those_of_the_comparison(fits):
    weight = bl.compare(fits)["weight"]
    found = bl.stacked(fits, lambda fit: fit.predict(**AT))
    told = {name: f"{weight[name]:.2f} {name}" for name in fits if weight[name] > 0}
    assert found.remark == "stacked: " + ", ".join(told.values())


def test_a_decision_stays_one(fits):
    found = bl.stacked(fits, lambda fit: fit.allocation(flops=1e21), weights={"chinchilla": 0.5, "skaling": 0.5})
    assert isinstance(found, Censored) and type(found) is Censored
    assert found.p_interior.shape == (2,) and len(found.to_frame()) == 2
    assert all(caution.startswith(("chinchilla: ", "skaling: ")) for caution in found.cautions)


def test_a_model_of_no_weight_is_not_asked(fits):
    asked = []

    def question(fit: Fit) -> Quantity:
        asked.append(fit.model.law.name)
        return fit.predict(**AT)

    bl.stacked(fits, question, weights={"skaling": 1.0})
    assert asked == ["skaling"]


def test_what_cannot_be_stacked_is_refused_in_a_sentence(fits):
    with pytest.raises(RangeError, match="give at least two models to stack"):
        bl.stacked({"one": fits["skaling"]}, lambda fit: fit.predict(**AT))
    with pytest.raises(UnknownName, match="no model .in weights=. 'skalling'; did you mean 'skaling'"):
        bl.stacked(fits, lambda fit: fit.predict(**AT), weights={"skalling": 1.0})
    with pytest.raises(RangeError, match="give weights of at least 0, some of them above"):
        bl.stacked(fits, lambda fit: fit.predict(**AT), weights={"skaling": 0.0})
    even = {"chinchilla": 0.5, "skaling": 0.5}
    with pytest.raises(ArgumentError, match="has no answer of 'chinchilla' .TypeError: it returned 2.*give a function"):
        bl.stacked(fits, lambda _: 2.0, weights=even)  # type: ignore[arg-type,return-value]
    with pytest.raises(RangeError, match="'chinchilla' and 'skaling' have different units, labels or searched ranges"):
        bl.stacked(fits, lambda fit: fit.predict(N=1e9, D=1e10, new_run=fit.model.law.name == "skaling"), weights=even)
