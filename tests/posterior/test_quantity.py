"""Named draws: intervals, tables, texts, censoring, JSON."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayeslaw.base.intervals import CI_PROB
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.errors import RangeError
from bayeslaw.posterior.quantity import Censored, Quantity

RNG = np.random.default_rng(1)


def loss(**coords):
    shape = (2, 500, *map(len, coords.values()))
    labels = {"chain": np.arange(2), "draw": np.arange(500), **coords}
    draws = xr.DataArray(2 + 0.1 * RNG.standard_normal(shape), dims=list(labels), coords=labels)
    return Quantity("loss", draws, "nats", "mean law", {"N": 1e9, "D": np.array([1e9, 2e9])})


def ratio(values, low=0.0, high=0.97):
    draws = xr.DataArray(np.reshape(values, (1, -1)), dims=("chain", "draw"))
    return CriticalRatio("critical_ratio", draws, "1", "mean law", {"N": 1.8e9}, low=low, high=high)


def test_interval_is_equal_tailed():
    q = loss()
    ends = q.interval()
    assert CI_PROB == 0.89
    np.testing.assert_allclose([ends["lower"], ends["upper"]], np.quantile(q.draws, [0.055, 0.945]), rtol=1e-12)
    assert q.interval(0.5)["lower"] > ends["lower"]
    np.testing.assert_allclose(q.mean(), q.draws.values.mean())
    np.testing.assert_allclose(q.sd(), q.draws.values.std())
    with pytest.raises(RangeError, match="between 0 and 1"):
        q.interval(89)


def test_frame_is_tidy():
    assert list(loss().to_frame()) == ["mean", "sd", "median", "lower", "upper"]
    q = loss(eval=["general", "domain"], D=[1e9, 2e9, 3e9])
    frame = q.to_frame()
    assert list(frame) == ["eval", "D", "mean", "sd", "median", "lower", "upper"]
    assert len(frame) == 6
    np.testing.assert_allclose(frame["median"], q.median().values.ravel())
    labelled = Quantity("loss", q.draws.assign_coords(tokens=("D", [1, 2, 3])), "nats", "mean law")
    assert list(labelled.to_frame())[:3] == ["eval", "D", "tokens"]
    assert list(q.summary().index.names) == ["eval", "D"]
    assert list(loss().summary().index) == ["loss"]
    no_labels = Quantity("loss", q.draws.drop_vars("D"), "nats", "mean law")
    assert isinstance(no_labels.to_frame(), pd.DataFrame)


def test_to_xarray_names_unit_and_meaning():
    dataset = loss().to_xarray()
    assert dataset["loss"].attrs["units"] == "nats"
    assert dataset["loss"].attrs["what"] == "mean law"


def test_repr_answers_first_and_never_raises():
    q = loss()
    assert repr(q).startswith(f"{q.median().item():.3g} [")
    assert "loss in nats at N 1 B; mean law; 89 % interval" in repr(q)
    many = loss(D=np.linspace(1e9, 2e9, 100))
    assert len(repr(many).splitlines()) < 20
    assert "<table" in many._repr_html_()
    no_draws: Any = "no draws"
    broken = Quantity("loss", no_draws, "nats", "mean law")
    assert "cannot be shown" in repr(broken) and "cannot be shown" in broken._repr_html_()


def test_censored_draws_print_as_bounds():
    r = ratio(np.r_[np.linspace(0.8, 0.96, 80), np.full(20, 0.97)])
    assert (r.p_never, r.p_interior, r.p_always) == (0, 0.8, 0.2)
    assert r.text().item().endswith(", >= 0.97]")
    assert "p_always 0.2" in repr(r)
    assert "&gt;= 0.97" in r._repr_html_()
    assert ratio(np.full(10, 0.97)).text() == ">= 0.97"
    assert ratio(np.zeros(10)).text() == "<= 0"
    assert ratio(np.r_[np.zeros(30), np.full(70, 0.5)]).text() == "0.5 [<= 0, 0.5]"


def test_probability_safe():
    r = ratio([0.0, 0.0, 0.5, 0.8, 0.97])
    assert r.probability_safe(0.5) == pytest.approx(0.6)
    assert r.probability_safe(0.0) == pytest.approx(0.6), "never safe is not safe at the lower end either"
    assert r.probability_safe(0.97) == pytest.approx(0.2)
    with pytest.raises(RangeError, match="the searched range"):
        r.probability_safe(0.98)


def test_ends_may_vary():
    labels = {"quantity": ["N", "D"]}
    draws = xr.DataArray([[[1.0, 10.0], [2.0, 5.0]]], dims=("chain", "draw", "quantity"), coords=labels)
    high = xr.DataArray([2.0, 10.0], dims="quantity", coords=labels)
    q = Censored("allocation", draws, "1", "mean law", low=high / 10, high=high)
    assert q.p_always.sel(quantity="N") == 0.5
    assert "p_always" in q.to_frame()
    assert "D" in repr(q)


def test_json_is_plain():
    answer = json.loads(json.dumps(ratio([0.1, 0.2, 0.97]).as_json()))
    assert {"median", "lower", "upper", "prob", "p_never", "p_interior", "p_always", "N"} <= set(answer)
    assert answer["median"] == 0.2 and answer["prob"] == 0.89 and answer["N"] == 1.8e9
    many = json.loads(json.dumps(loss(eval=["general", "domain"]).as_json()))
    assert len(many["median"]) == 2 and many["eval"] == ["general", "domain"] and many["D"] == [1e9, 2e9]


def test_a_large_answer_is_summarised_in_little_memory():
    import tracemalloc

    draws = xr.DataArray(RNG.normal(3, 0.1, (4, 100, 2, 10_000)), dims=("chain", "draw", "eval", "D"))
    draws = draws.assign_coords(eval=["general", "domain"], D=np.arange(1e4), run=("D", np.arange(10_000)))
    answer = Quantity("loss", draws, "nats", "mean law")
    tracemalloc.start()
    frame = answer.to_frame()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < draws.nbytes
    assert list(frame) == ["eval", "D", "run", "mean", "sd", "median", "lower", "upper"]
    few = Quantity("loss", draws.isel(D=[0, 9999]), "nats", "mean law").to_frame()
    pd.testing.assert_frame_equal(frame[frame["D"].isin([0, 9999])].reset_index(drop=True), few)


def test_the_small_end_of_a_size_that_spans_factors_is_no_bound():
    draws = xr.DataArray(np.geomspace(2e9, 1e14, 200).reshape(2, 100), dims=("chain", "draw"))
    text = str(Censored("N", draws, "parameters", "mean law", low=1e3, high=1.7e17).text().item())
    assert "<=" not in text and ">=" not in text and " B, " in text
