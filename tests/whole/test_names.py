"""Columns with the names of coefficients, parameters, dims and results: they work, or one sentence refuses them."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.names import AREAS, ARGUMENTS, DATA, DIMS, ERRORS, MEASURED, RESULTS
from bayeslaw.errors import BayeslawError, DataError, LawError
from bayeslaw.workflow import Fit

COEFFICIENTS = (*models.chinchilla.coefficients, "E_mu", "E_sigma", "A_paper", "x_N", "at_N", *DATA)
FREE = ("memory", "sample", "language", "run_id", "target", "goal", "title")
TAKEN = (*COEFFICIENTS, *ERRORS, *MEASURED, *RESULTS, *ARGUMENTS)
TWO_OF_EACH = [name for kind in (COEFFICIENTS, DATA, FREE, AREAS, ERRORS, MEASURED, RESULTS) for name in list(kind)[:2]]
NAMES = (*TWO_OF_EACH, "E_mu", "at_N", "lower", "fold", *DIMS, *ARGUMENTS)


def table(column: str) -> pd.DataFrame:
    """Runs with one more column of labels."""
    rows = pd.MultiIndex.from_product([[1e8, 3e8, 1e9], [1e9, 1e10]], names=["N", "D"]).to_frame(index=False)
    losses = 2.0 + 0.3 * (rows["N"] / 1e9) ** -0.3 + 0.2 * (rows["D"] / 1e10) ** -0.3
    rows["run"], rows[column], rows["val_loss"] = [f"run {i}" for i in range(6)], ["a", "b"] * 3, losses
    return rows


def model(column: str, **settings: Any) -> bl.Model:
    """A model of these runs."""
    runs = bl.read_runs(table(column), loss={"val": "val_loss"})
    return bl.Model(models.chinchilla, runs, monotone=None, **settings)


@cache
def prior() -> Fit:
    """Draws from the prior; a column that the law does not read leaves them as they are."""
    return model("free").prior_predictive(draws=12)


def sentence(caught: pytest.ExceptionInfo[BaseException], column: str) -> bool:
    text = str(caught.value)
    return isinstance(caught.value, BayeslawError) and repr(column) in text and "rename" in text and "\n" not in text


@pytest.mark.parametrize("column", NAMES)
def test_a_column_keeps_its_values_or_is_refused(column, tmp_path):
    if column in {*DIMS, "loss_sd"} - {"batch"}:
        with pytest.raises(DataError) as caught:
            model(column)
        assert sentence(caught, column)
        return
    fit = replace(prior(), model=model(column))
    back = bl.load(fit.save(tmp_path / "fit.nc"))
    assert list(back.model.runs.table[column]) == ["a", "b"] * 3
    asked = pd.DataFrame({"N": [2e9, 3e9], "D": [1e11, 1e11], column: ["x", "y"]})
    if column in ("mean", "sd", "lower", "upper"):
        with pytest.raises(DataError) as caught:
            fit.predict(asked)
        assert sentence(caught, column)
    else:
        answer = fit.predict(asked)
        assert list(answer[column]) == ["x", "y"] and np.isfinite(answer["mean"]).all()


@pytest.mark.parametrize("column", [name for name in TAKEN if name != "loss_sd"])
def test_a_column_to_pool_over_is_refused(column):
    for settings in ({"by": {"E": column}}, {"priors": {"E": bl.positive(1.5, 0.5, dims=column)}}):
        with pytest.raises(DataError) as caught:
            model(column, **settings)
        assert sentence(caught, column)


@pytest.mark.parametrize("column", [*FREE[:4], *AREAS[:2]])
def test_a_column_to_pool_over_works(column):
    fit = model(column, by={"E": column}).prior_predictive(draws=12)
    at: dict[str, Any] = {"N": 2e9, "D": [1e10, 1e11], column: ["a", "b"]}
    answer = fit.predict(**at)
    assert list(dict.fromkeys(answer.to_frame()[column])) == ["a", "b"]
    assert fit.model.pymc_model.coords[column] == ("a", "b")
    table_of = fit.predict(pd.DataFrame({"N": [2e9], "D": [1e11], column: ["b"]}))
    assert table_of[column].item() == "b" and fit.tokens_for(loss=2.9, N=1e9, labels={column: "a"}).draws.ndim == 2
    near = column[1:] + column[:1] if len(column) > 3 else f"{column}_"
    with pytest.raises(BayeslawError, match=f"{near!r}; did you mean {column!r}" if len(column) > 3 else "no column"):
        fit.tokens_for(loss=2.9, N=1e9, labels={near: "a"})


@pytest.mark.parametrize("column", ["seed", "mean", "row", "sigma", "observed", "fold"])
def test_a_law_cannot_read_a_column_of_such_a_name(column):
    functions: dict[str, Any] = {}
    exec(f"def mine({column}, /, *, E): return E + {column}", functions)
    with pytest.raises(LawError, match=f"the column {column} has the name of"):
        bl.law(
            title="", source="", equation="",
            covariates={column: bl.Covariate("", "")}, coefficients={"E": models.chinchilla.coefficients["E"]},
        )(functions["mine"])  # fmt: skip


def test_areas_in_a_table_are_not_computed_over():
    log = pd.DataFrame({"run": "a", "step": np.arange(10, 200, 10), "lr": 3e-4, "loss": np.geomspace(4, 3, 19)})
    for read in (lambda t: bl.read_curves(t, warmup=0), lambda t: bl.read_curves(t)):
        with pytest.raises(DataError, match="a column 'S1', which read_curves computes: rename or drop it"):
            read(log.assign(S1=1.0))
    runs = bl.read_curves(log.assign(memory="long"), warmup=0)
    assert set(runs.table["memory"]) == {"long"} and runs.area_settings["memory"] == 0.999


def test_a_column_that_only_looks_like_a_share_is_named():
    with pytest.raises(DataError, match="weight_decay.*rename a column weight_... that is no share"):
        bl.read_runs(table("weight_decay").assign(weight_decay=0.1))
