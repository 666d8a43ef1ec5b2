"""Many losses at once: those of the law itself, for every law, crossed or row by row, known groups or not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, sampler
from bayeslaw.posterior import draws, losses
from bayeslaw.sampler import many_losses
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in

RNG = np.random.default_rng(3)
ROUNDED = ("N", "D", "S1", "S1cpt", "L_general", "L_domain")
"""Columns that may take any value near one of the runs'."""


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return losses of the law itself, and those of the compiled function, which must serve."""

    def of(fit: Fit, columns: xr.Dataset, **options: Any) -> tuple[xr.DataArray, xr.DataArray]:
        monkeypatch.setattr(draws, "MANY", np.inf)
        expected = fit.loss(columns, **options)
        monkeypatch.setattr(draws, "MANY", 1)
        with monkeypatch.context() as only:
            only.setattr(type(fit.model.law), "__call__", _tiny_only(type(fit.model.law).__call__))
            return expected, fit.loss(columns, **options)

    return of


def _tiny_only(call: Any) -> Any:
    """A law that refuses to be evaluated in full: the form of its answer takes one draw."""

    def called(law: Any, *covariates: Any, **coefficients: Any) -> Any:
        assert all(c.sizes.get("draw", 1) == 1 for c in coefficients.values() if isinstance(c, xr.DataArray))
        return call(law, *covariates, **coefficients)

    return called


def assert_same(expected: xr.DataArray, found: xr.DataArray) -> None:
    xr.testing.assert_identical(xr.zeros_like(expected), xr.zeros_like(found))
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)


@pytest.mark.parametrize("law", models.catalogue.values(), ids=models.catalogue)
def test_every_law_row_by_row(law, table_for, both):
    fit = stand_in(law, table_for, draws=20)
    rows = fit.model.design.rows
    some = rows.isel(row=RNG.integers(rows.sizes["row"], size=12))
    columns = some[list(dict.fromkeys([*law.columns, *fit.model.design.groups]))]
    moved = {c: columns[c] * RNG.uniform(0.8, 1.2, 12) for c in ROUNDED if c in columns and columns[c].dims == ("row",)}
    expected, found = both(fit, columns.assign(moved))
    assert expected.notnull().any() and expected.sizes["row"] == 12
    assert_same(expected, found)


@pytest.mark.parametrize("law", ["dcpt", "chinchilla", "nested_data_mixing", "cross_domain_dcpt"])
def test_crossed_columns_keep_the_dims_and_labels_of_the_law(law, table_for, both):
    fit = stand_in(models.catalogue[law], table_for, draws=130)
    asked: dict[str, Any] = {"D": [1e9, 1e10], "N": [1e8, 1e9, 7e9], "domain_share": np.linspace(0.1, 0.9, 5)}
    asked |= {"weight": {"web": 0.5, "books": 0.5, "code": 0.0}, "domain": "law"}
    known = [*fit.model.law.columns, *fit.model.design.groups, "domain"]
    labels = "domain" in fit.model.design.groups or law == "cross_domain_dcpt"
    columns = fit.columns(**{c: v for c, v in asked.items() if c in known and (c != "domain" or labels)})
    assert_same(*both(fit, columns))


def test_groups_known_and_unseen(table_for, both):
    fit = stand_in(models.dcpt, table_for, by={"E": "domain", "A": "domain"})
    for name in ("E", "A"):
        center = xr.ufuncs.log(fit.posterior[name]).mean("domain")
        fit.idata["posterior"][f"{name}_mu"] = center
        fit.idata["posterior"][f"{name}_sigma"] = xr.full_like(center, 0.1)
    domain = xr.DataArray(["law", bl.UNSEEN, "code", "law", bl.UNSEEN], dims="row")
    by_row = {"N": xr.DataArray(np.geomspace(1e8, 1e10, 5), dims="row"), "domain_share": 0.5, "domain": domain}
    for columns in (fit.columns(D=1e10, **by_row), fit.columns(D=[1e9, 1e10], **by_row)):
        assert_same(*both(fit, columns, seed=4))
        assert_same(*both(fit, columns, new_run=True, seed=4))
    crossed = fit.columns(N=[1e8, 1e9], D=1e10, domain_share=0.5, domain=["code", bl.UNSEEN])
    assert_same(*both(fit, crossed, seed=4))


def test_a_law_that_cannot_be_compiled_answers_all_the_same(monkeypatch):
    @bl.law(
        title="t",
        source="s",
        equation="e",
        covariates={"D": bl.Covariate("tokens", "tokens", reference=1e9)},
        coefficients={"E": bl.Coefficient(bl.positive(1.5, 0.3), "nats", "level", "simulated")},
    )
    def odd(D, /, *, E):
        return E + D.round()

    table = pd.DataFrame({"run": list("abc"), "D": [1e9, 2e9, 3e9], "validation_loss": [2.0, 3.0, 4.0]})
    level = xr.DataArray(
        RNG.normal(1, 0.1, (2, 30, 1)), dims=("chain", "draw", "eval"), coords={"eval": ["validation"]}
    )
    fit = Fit(
        bl.Model(odd, bl.read_runs(table), monotone=None, misfit=None),
        xr.DataTree.from_dict({"posterior": xr.Dataset({"E": level})}),
    )
    monkeypatch.setattr(draws, "MANY", 1)
    found = fit.loss(fit.columns(D=[1e9, 2.2e9]))
    np.testing.assert_array_equal(found.isel(D=1), level + 2)


def test_tables_of_many_rows_are_summarised_alike(table_for, monkeypatch):
    fit = stand_in(models.dcpt, table_for)
    rows = pd.DataFrame({"N": RNG.uniform(1e8, 7e9, 300), "D": RNG.uniform(1e9, 1e11, 300), "domain_share": 0.5})
    usual = fit.predict(rows, prob=0.5)
    for module, name, value in (
        (draws, "MANY", 1),
        (losses, "MANY", 1),
        (losses, "CELLS", 30_000),
        (sampler, "STEP", 7_000),
    ):
        monkeypatch.setattr(module, name, value)
    pd.testing.assert_frame_equal(fit.predict(rows, prob=0.5), usual, rtol=1e-12)
    new = fit.predict(rows, new_run=True, seed=1)
    assert new.equals(fit.predict(rows, new_run=True, seed=1)) and new["sd"].mean() > usual["sd"].mean()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 127, 4000])
@pytest.mark.parametrize("low", [0.005, 0.055, 0.4, 0.495])
def test_ends_of_intervals_are_quantiles(count, low):
    normal = RNG.normal(3, 1, (20, count))
    for rows in (
        normal,
        np.sort(normal, axis=1),
        normal.round(1),
        np.where(normal > 3, np.inf, normal) if low < 0.4 else normal,
    ):
        with np.errstate(invalid="ignore"):
            expected = np.quantile(rows, [low, 1 - low], axis=1)
        np.testing.assert_allclose(many_losses.interval_ends(rows, low, 1 - low), expected, rtol=1e-12)


def test_a_row_that_is_not_a_number_has_no_interval(monkeypatch):
    rows = RNG.normal(3, 1, (3, 500))
    rows[1, 7] = np.nan
    monkeypatch.setattr(losses, "MANY", 1)
    found = losses._numbers(rows, [0.055, 0.945], slice(0, 3))
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()
