"""Which rows are one run: without a run column, where a run was resumed, and where a loss was not measured."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.reporting.choices import _rivals
from bayeslaw.tables.identity import VARYING
from bayeslaw.validation.simulation import with_losses

SIZES, TOKENS = (1e8, 1e9), (1e9, 2e9, 4e9)


def cells(**columns: Sequence[Any]) -> pd.DataFrame:
    """Rows of all sizes, tokens and values of further columns."""
    table = pd.DataFrame(product(SIZES, TOKENS, *columns.values()), columns=["N", "D", *columns])
    return table.assign(loss=3.0 - 0.001 * np.arange(len(table)))


PLAIN = cells()


# ---------------------------------------------------------------------------------------------- no run column
@pytest.mark.parametrize(
    ("table", "runs", "telling"),
    [
        (PLAIN, 2, "N"),
        (cells(vocab=[4096, 32768]), 4, "N, vocab"),
        (cells(seed=[1, 2, 3]), 6, "N, seed"),
        (cells(lr=[1e-3, 3e-4]), 4, "N, lr"),
        (cells(optimizer=["adam", "muon"], budget=[1e18, 3e18]), 8, "N, optimizer, budget"),
        (cells(tied=[True, False]), 4, "N, tied"),
        (cells(optimizer=["adam", None]), 4, "N, optimizer"),
        (cells(domain=["law", "code"], seed=[1, 2]), 8, "N, domain, seed"),
        (PLAIN.assign(seed=range(6)), 6, "N, seed"),
        (PLAIN.assign(model=list("abcdef")), 6, "N, model"),
        (PLAIN.assign(D=1e9, lr=[1e-3, 3e-4, 1e-4] * 2), 6, "N, lr"),
        (cells().assign(flops=[1e18, 3e18, 9e18] * 2, D=lambda t: t["flops"] / 6 / t["N"]), 6, "N, flops"),
    ],
)
def test_every_column_that_is_fixed_in_a_run_tells_runs_apart(table, runs, telling):
    read = bl.read_runs(table)
    assert read.table["run"].nunique() == runs
    assert f"no run column: {runs} runs, distinguished by {telling}" in read.note and read.note in repr(read)
    assert ("every row is a run of its own" in read.note) == (runs == len(table) and table["D"].nunique() > 1)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([10.5, 20.25, 41.0, 11.0, 22.5, 44.75], name="x"),  # another value in every row
        pd.Series([1.0, 2, 4] * 2, name="x"),  # follows from the tokens
        pd.Series([0.41, 0.42, 0.41, 0.42, 0.41, 0.41], name="mfu"),
        pd.Series([100, 100, 101, 100, 101, 101], name="tokens_per_second"),
        pd.Series([2.1, 2.0, 2.0, 2.1, 2.0, 2.0], name="train/loss"),
        pd.Series([1, 1, 2, 1, 1, 2], name="gradNorm"),
        pd.Series([f"2026-01-0{i}" for i in range(1, 7)], name="created_at"),
    ],
)
def test_what_varies_along_a_run_does_not(column):
    runs = bl.read_runs(pd.concat([PLAIN, column], axis=1))
    assert runs.table["run"].nunique() == 2
    assert runs.note == f"no run column: 2 runs, distinguished by N; not by {column.name} (varying along a run)"


@pytest.mark.parametrize("name", ["vocab", "width", "lr_peak", "batch_size", "normalization", "generation", "mixture"])
def test_names_of_settings_are_no_measurements(name):
    assert not VARYING.search(name)


def test_values_of_their_own_do_not_hide_levels():
    table = cells(seed=[1, 2]).assign(watts=np.linspace(200.5, 300.25, 12))
    runs = bl.read_runs(table)
    assert runs.table["run"].nunique() == 4 and "distinguished by N, seed; not by watts" in runs.note


def test_a_rate_of_a_schedule_varies_along_its_run():
    steps = pd.DataFrame(product(SIZES, (1000, 2000, 3000)), columns=["N", "step"])
    assert bl.read_runs(steps.assign(lr=[3e-4, 3e-4, 1e-4] * 2, loss=3.0)).table["run"].nunique() == 2


def test_tables_with_names_or_without_tokens_need_no_note():
    assert bl.read_runs(PLAIN.assign(run=list("aaabbb"))).note == ""
    assert bl.read_runs(pd.DataFrame({"weight_a": [0.2, 0.5], "weight_b": [0.8, 0.5], "loss": 3.0})).note == ""


# ---------------------------------------------------------------------------------------------- resumed runs
def resumed(*steps: int) -> pd.DataFrame:
    return pd.DataFrame({"run": "a", "step": steps, "lr": 1e-3, "loss": np.linspace(4, 3.5, len(steps))})


@pytest.mark.parametrize(
    ("steps", "kept", "gone"),
    [
        ((100, 200, 300, 400, 300, 400, 500), (0, 1, 4, 5, 6), "2 rows"),
        ((100, 200, 250, 200, 300), (0, 3, 4), "2 rows"),  # the row at 250 was replaced too
        ((100, 200, 200, 300), (0, 2, 3), "1 row"),
        ((100, 200, 300, 200, 300, 200, 300, 400), (0, 5, 6, 7), "4 rows"),
    ],
)
def test_the_later_rows_of_a_resumed_run_are_kept(steps, kept, gone):
    table = resumed(*steps)
    for runs in (bl.read_curves(table, warmup=0), bl.read_runs(table)):
        np.testing.assert_array_equal(runs.table["validation_loss"], table["loss"].iloc[list(kept)])
        assert f"the run 'a' resumed at an earlier step: {gone} from before left out, the later ones kept" in runs.note


def test_only_the_resumed_run_loses_rows():
    table = pd.concat([resumed(100, 200, 300, 200, 300), resumed(100, 200, 300).assign(run="b")])
    assert bl.read_curves(table, warmup=0).table["run"].tolist() == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((100, 200, 100, 200), "same cell.*give replicates different names"),  # two runs of one name
        ((300, 200, 100), "step 200 .* comes after step 300: sort its rows"),
        ((100, 300, 200, 400), "step 200 .* comes after step 300: sort its rows"),  # nothing was logged again
    ],
)
def test_runs_that_were_not_resumed_are_refused_as_before(steps, words):
    with pytest.raises(DataError, match=words):
        bl.read_curves(resumed(*steps), warmup=0)


# ---------------------------------------------------------------------------------------------- gaps
def with_gaps() -> pd.DataFrame:
    table = pd.DataFrame(
        product((5e8, 1e9, 2e9), (1e9, 1e10, 1e11), (0.2, 0.5, 0.8)), columns=["N", "D", "domain_share"]
    )
    size, tokens, share = table["N"] / 1e9, table["D"] / 1e10, table["domain_share"]
    general = 2 + 0.35 * size**-0.3 + 0.1 * (1 - share) * tokens**-0.3 + 0.1 * (1.08 - share) ** -0.35
    domain = 1.2 + 0.35 * size**-0.3 + 0.15 * share**1.2 * tokens**-0.3 + 0.3 * (share + 0.08) ** -0.35
    noise = np.exp(np.random.default_rng(0).normal(0, 0.003, (2, len(table))))
    table = table.assign(general_loss=general * noise[0], domain_loss=domain * noise[1])
    table.loc[::3, "general_loss"] = np.nan
    table.loc[1::3, "domain_loss"] = np.nan
    return table


def test_validation_sets_may_be_measured_at_different_rows(tmp_path):
    table = with_gaps()
    runs = bl.read_runs(table)
    assert "general_loss was not measured in 9 of 27 rows; domain_loss was not measured in 9 of 27 rows" in runs.note
    model = bl.Model(models.dcpt, runs)
    assert len(model.design.log_loss) == 36 and "kept out" not in repr(model)
    np.testing.assert_array_equal(model.design.measured.sum("row"), [18, 18])
    logp = model.pymc_model.compile_logp()(model.pymc_model.initial_point())
    assert np.isfinite(logp)
    fit = model.fit(draws=50, tune=100, chains=2, seed=1, progress=False)
    assert np.isfinite(fit.posterior["E"]).all() and np.isfinite(log_likelihood(fit)).all()
    again = bl.load(fit.save(tmp_path / "fit.nc"))
    assert again.model.runs.hash == runs.hash


def test_gaps_say_what_a_table_of_both_parts_says():
    """A row whose general loss is missing counts as one that has only a domain loss: the answers are those of both."""
    table = with_gaps()
    whole = bl.Model(models.dcpt, bl.read_runs(table)).fit(method="mle", seed=1)
    general = table.dropna(subset="general_loss").drop(columns="domain_loss")
    alone = bl.Model(models.dcpt, bl.read_runs(general)).fit(method="mle", seed=1)
    at: dict[str, Any] = dict(N=1e9, D=3e10, domain_share=0.5)
    np.testing.assert_allclose(
        whole.predict(**at).draws.sel(eval="general"), alone.predict(**at).draws.sel(eval="general"), rtol=1e-3
    )


def test_the_best_measured_mixture_is_one_with_every_loss_of_the_goal():
    weights = np.random.default_rng(1).dirichlet(np.ones(3), 16)
    table = pd.DataFrame(weights, columns=["weight_a", "weight_b", "weight_c"])
    table = table.assign(x_loss=2.5 + weights[:, 0], y_loss=2.5 + weights[:, 1])
    lowest = int((table["x_loss"] + table["y_loss"]).argmin())
    table.loc[lowest, "y_loss"] = np.nan
    fit = bl.Model(models.regmix, bl.read_runs(table)).fit(method="mle")
    best = fit.best_mixture(goal={"x": 1, "y": 1})
    complete = table.dropna()
    best_row = int((complete["x_loss"] + complete["y_loss"]).argmin())
    expected = complete.iloc[best_row][["weight_a", "weight_b", "weight_c"]]
    named = [rival for name, rival in _rivals(fit, best).items() if "best measured run" in name]
    np.testing.assert_allclose(named[0].values, expected.to_numpy(float))


def test_simulated_losses_have_the_same_gaps():
    runs = bl.read_runs(with_gaps())
    simulated = with_losses(runs, np.full((len(runs), 2), 2.0)).table[runs.loss_columns]
    np.testing.assert_array_equal(simulated.isna(), runs.table[runs.loss_columns].isna())
    assert (simulated.fillna(2.0) == 2.0).all(axis=None)


def test_features_are_read_where_the_loss_was_measured():
    rows = [(d, n, t, 0.5) for d in ("law", "code") for n in (1e8, 1e9) for t in (0.0, 1e8, 5e8, 1e9)]
    table = pd.DataFrame(rows, columns=["domain", "N", "D", "domain_share"]).assign(general_loss=3.0)
    table["domain_loss"] = 3 - 0.2 * np.log1p(table["D"] / 1e8)
    table.loc[(table["domain"] == "law") & (table["N"] == 1e8) & (table["D"] == 5e8), "domain_loss"] = np.nan
    with pytest.raises(DataError, match="the domain 'law' was not measured at N 1e8, domain_share 0.5, D 5e8"):
        bl.early_features(bl.read_runs(table), N=1e8, domain_share=0.5, tokens=[1e8, 5e8])


def test_thinning_keeps_losses_that_are_measured_rarely():
    steps = np.arange(1, 1001)
    log = pd.DataFrame({"run": "a", "step": steps, "lr": 1e-3, "train_loss": np.linspace(4, 3, 1000)})
    log["val_loss"] = np.where(steps % 90 == 0, log["train_loss"] + 0.1, np.nan)
    table = bl.read_curves(log, warmup=0).table
    assert len(table) < 60 and table["val_loss"].notna().sum() >= 9 and table["val_loss"].last_valid_index() is not None
    assert set(table["step"][table["val_loss"].notna()]) >= {90, 180, 270, 360, 990}
