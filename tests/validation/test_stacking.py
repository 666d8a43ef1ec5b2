"""One answer of several models: how many draws each gives, and what cannot be stacked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import ndtri

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.numbers import as_share
from bayeslaw.errors import ArgumentError, DataError, RangeError, UnknownName
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.validation import stacking
from bayeslaw.validation.stacking import Stack, _cells, _common, _on, weights_of
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
    told = {name: f"{as_share(weight[name])} {name}" for name in fits if weight[name] > 0}
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
    with pytest.raises(RangeError, match="stacked needs at least two models"):
        bl.stacked({"one": fits["skaling"]}, lambda fit: fit.predict(**AT))
    with pytest.raises(UnknownName, match="no model .in weights=. 'skalling'; did you mean 'skaling'"):
        bl.stacked(fits, lambda fit: fit.predict(**AT), weights={"skalling": 1.0})
    with pytest.raises(RangeError, match="give weights of at least 0, some of them above"):
        bl.stacked(fits, lambda fit: fit.predict(**AT), weights={"skaling": 0.0})
    even = {"chinchilla": 0.5, "skaling": 0.5}
    with pytest.raises(ArgumentError, match="has no answer of 'chinchilla' .TypeError: it returned 2.*give a function"):
        bl.stacked(fits, lambda _: 2.0, weights=even)  # type: ignore[arg-type,return-value]
    with pytest.raises(RangeError, match="'chinchilla' and 'skaling' have different units or labels"):
        bl.stacked(fits, lambda fit: fit.predict(N=1e9, D=1e10, new_run=fit.model.law.name == "skaling"), weights=even)


@pytest.mark.parametrize("shared", [0, 1])
def test_fits_of_other_runs_have_no_weights(fits, shared):
    one, other = (replace(fit, settings={"method": "nuts"}) for fit in fits.values())
    table = other.model.runs.table
    names = dict(zip(table["run"].unique()[shared:], (f"elsewhere {i}" for i in range(len(table))), strict=False))
    moved = replace(other.model.runs, table=table.assign(run=table["run"].replace(names)))
    apart = {"a": one, "b": replace(other, model=replace(other.model, runs=moved))}
    with pytest.raises(DataError, match=f"'a', 'b' have {shared} measured runs? in common.*or weights="):
        bl.stacked(apart, lambda fit: fit.predict(**AT))
    bl.stacked(apart, lambda fit: fit.predict(**AT), weights={"a": 0.5, "b": 0.5})


def test_a_second_question_to_the_same_fits_finds_no_weights_again(fits, monkeypatch):
    found = []

    def weights(entries: Any) -> dict[str, float]:
        found.append(list(entries))
        return {"chinchilla": 0.25, "skaling": 0.75}

    monkeypatch.setattr(stacking, "_weights", weights)
    first = bl.stacked(fits, lambda fit: fit.predict(**AT))
    second = bl.stacked(fits, lambda fit: fit.allocation(flops=1e21))
    assert first.remark == second.remark == "stacked: 0.25 chinchilla, 0.75 skaling" and len(found) == 1
    others = fits | {"skaling": replace(fits["skaling"])}
    assert weights_of(others) == weights_of(fits) and len(found) == 2, "another fit of the same name"


def answer(middle: float, sd: float, low: float = 0.0, high: float = 1.0) -> Censored:
    """Return an answer whose draws are normal quantiles within the searched range."""
    draws = np.clip(middle + sd * ndtri((np.arange(1000) + 0.5) / 1000).reshape(2, 500), low, high)
    return Censored("r", xr.DataArray(draws, dims=("chain", "draw")), "1", "mean law", low=low, high=high)


def test_a_stack_says_where_the_laws_disagree():
    weights = {"a": 0.6, "b": 0.4}
    near = Stack.alike(weights, {"a": answer(0.5, 0.05), "b": answer(0.55, 0.05)})
    assert near.agree and near.farthest[0] == pytest.approx(0.05 / (2 * 0.05 * 1.598), rel=0.01)
    far = Stack.alike(weights, {"a": answer(0.3, 0.02), "b": answer(0.6, 0.02)})
    assert not far.agree and "the medians of a and b lie 4.7 times" in far.agreement
    assert far.mixture.cautions == (far.agreement,) and near.mixture.cautions == ()
    none = Stack.alike({"a": 1.0, "b": 0.0}, {"a": answer(0.3, 0.02), "b": answer(0.6, 0.02)})
    assert none.agree and set(none.answers) == {"a"}


def test_answers_of_other_ranges_are_taken_within_both():
    parts = {"a": answer(0.88, 0.05, 0.0, 0.9), "b": answer(0.9, 0.05, 0.05, 0.95)}
    found = Stack.alike({"a": 0.5, "b": 0.5}, parts).mixture
    assert isinstance(found, Censored) and (found.low, found.high) == (0.05, 0.9)
    assert float(found.draws.max()) == 0.9
    share = [float((part.draws >= 0.9).mean()) for part in parts.values()]
    assert float(found.p_always) == pytest.approx(np.mean(share), abs=0.002)
    with pytest.raises(RangeError, match="were searched in ranges without overlap: give each"):
        Stack.alike({"a": 0.5, "b": 0.5}, {"a": answer(0.2, 0.1, 0.0, 0.4), "b": answer(0.8, 0.1, 0.5, 1.0)})


def test_dcpt_and_cmr_need_no_preparation():
    """One law leaves out rows that the other counts: the weights are of the measurements that both count."""
    table = bl.datasets.load("tinycpt").query("schedule == 'constant' and set == 'grid' and step >= 300")
    table = table[table["N"] == table["N"].max()]
    runs = bl.read_runs(table[["run", "D", "domain_share", "general_loss", "domain_loss"]].assign(N=table["N"]))
    reference = {"D": 1.5e6}
    fits = {
        "dcpt": bl.Model(models.dcpt, runs, reference={**reference, "N": 9e5}, outside="exclude", misfit=None),
        "cmr": bl.Model(models.cmr, runs, reference=reference, outside="exclude", misfit=None),
    }
    common = _common({name: Fit(model, xr.DataTree()) for name, model in fits.items()})
    sizes = {name: len(model.design.log_loss) for name, model in fits.items()}
    assert len(common) == sizes["cmr"] < sizes["dcpt"], "cmr leaves out rows that dcpt counts"
    for model in fits.values():
        pd.testing.assert_frame_equal(
            _cells(_on(model, common)).sort_values(["run", "at", "eval"], ignore_index=True),
            common.sort_values(["run", "at", "eval"], ignore_index=True),
            check_dtype=False,
        )
    fitted = {n: m.fit(draws=200, chains=2, seed=1, progress=False) for n, m in fits.items()}
    weights = weights_of(fitted)
    assert set(weights) == {"dcpt", "cmr"} and sum(weights.values()) == pytest.approx(1)
    ask = {"D": 1.5e6, "baseline": 3.435}
    found = bl.stacked(
        fitted, lambda fit: fit.critical_ratio(**ask, N=None if fit.model.law.name == "cmr" else 922_720)
    )
    assert isinstance(found, Censored) and found.remark.startswith("stacked: ")
