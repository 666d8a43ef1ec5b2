"""Counts, runs and labels as people write them, whatever face shows them."""

import html
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, plots
from bayeslaw.base.words import counted, place, run_called
from bayeslaw.checks.residuals import misfit
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.validation.calibration import Calibration
from tests.stand_ins import stand_in

HOSTILE = "<script>alert('x')</script>"


def test_one_run_and_two_runs():
    assert (counted(1, "run"), counted(2, "run"), counted(0, "row")) == ("1 run", "2 runs", "0 rows")
    assert (counted(1, "quantity"), counted(3, "quantity")) == ("1 quantity", "3 quantities")
    assert place({"run": "run 1", "N": 1e9}) == "run 1, N 1 B" and place({"run": "a7"}) == "the run a7"
    assert run_called("Run 7") == "Run 7"


def test_no_sentence_of_a_fit_says_run_run(table_for):
    fit = stand_in(models.chinchilla, table_for, draws=250)
    said = f"{fit.checks()} {fit.model!r} {fit.provenance()} {fit.model.runs!r}"
    assert not re.search(r"\brun run\b|\b1 (rows|runs|draws|chains|measurements)\b", said)


def test_an_exact_fit_misses_by_no_number_of_standard_errors(table_for):
    fit = stand_in(models.chinchilla, table_for, draws=60)
    exact = xr.ufuncs.exp(xr.ufuncs.log(at_rows(fit)).mean(["chain", "draw"])).sel(eval="validation").values
    table = fit.model.runs.sorted_along(fit.model.law.path).table.assign(validation_loss=exact)
    same = replace(fit, model=bl.Model(fit.model.law, replace(fit.model.runs, table=table), monotone=None))
    assert "below 0.1 standard errors" in misfit(same).text and " 0.0 standard" not in misfit(same).text


def test_scores_are_error_rates_whatever_face_shows_them(table_for, tmp_path):
    fit = stand_in(models.domain_upsampling, table_for, draws=60)
    answer = fit.predict(duration=0.2)
    assert answer.unit == fit.model.unit == "error rate" and "loss in error rate" in repr(answer)
    for ax in [plots.plot_fit(fit), plots.plot_along(fit, "duration"), *np.ravel(plots.plot_learned(fit))]:
        assert ax.get_ylabel().endswith("error rate (1 - score)")
    plt.close("all")
    read = bl.read_scores(pd.DataFrame({"weight_a": [0.2, 0.5, 0.8], "weight_b": [0.8, 0.5, 0.2], "quiz_score": 0.4}))
    assert read.unit == bl.Model(models.regmix, read).unit == read.dataset["loss"].attrs["units"] == "error rate"
    bl.Model(models.regmix, read).fit(method="mle", progress=False).save(tmp_path / "fit.nc")
    assert bl.load(tmp_path / "fit.nc").model.unit == "error rate", "also after saving"


def test_nats_per_byte_are_not_called_per_token():
    table = pd.DataFrame({"N": [1e8, 1e9], "D": 1e9, "loss": [1.0, 0.9]})
    assert bl.read_runs(table, unit="bits per byte", bytes_per_token=1).unit == "nats per byte"
    assert bl.read_runs(table, unit="bits per byte", bytes_per_token=4.3).unit == "nats per token"


@pytest.fixture
def hostile(table_for):
    """A fit whose validation set and runs have names that would be code, were they not text."""
    table = table_for(models.chinchilla).assign(run=lambda t: [f"{HOSTILE}{i}" for i in range(len(t))])
    table = table.rename(columns={c: c for c in table}).assign(loss=3.0)
    return bl.Model(models.chinchilla, bl.read_runs(table[["run", "N", "D", "loss"]], loss={HOSTILE: "loss"}))


def test_evaluations_and_calibrations_show_labels_as_text(hostile, monkeypatch):
    rows = pd.DataFrame({"simulation": [1], "quantity": [HOSTILE], "kind": "loss", "true": 1.0, "rank": 3})
    rows = rows.assign(lower=0.0, upper=2.0, covered=True)
    fits = pd.DataFrame({"simulation": [1], "r_hat": [1.0], "divergences": [0], "ess": [500.0], "seconds": [1.0]})
    failed = pd.DataFrame({"fold": [HOSTILE], "error": ["DataError"], "reason": [HOSTILE]})
    shown = Calibration(hostile, 0.89, rows, fits, failed)._repr_html_()
    assert "<script" not in shown and html.escape(HOSTILE) in shown
    evaluation = bl.evaluate(hostile, bl.splits.by("run"), draws=20, chains=1, tune=20, method="mle", progress=False)
    shown = replace(evaluation, failed=failed)._repr_html_()
    assert "<script" not in shown and html.escape(HOSTILE) in shown


def test_every_html_of_a_fit_shows_labels_as_text(hostile, table_for):
    fit = stand_in(models.chinchilla, table_for, draws=60)
    for shown in (hostile._repr_html_(), hostile.runs._repr_html_(), bl.splits.by(HOSTILE)._repr_html_()):
        assert "<script" not in shown
    named = replace(fit.predict(N=1e9, D=1e9), remark=HOSTILE, cautions=(HOSTILE,))
    assert "<script" not in named._repr_html_()


@pytest.mark.parametrize("label", ["$x$", "a$b", r"\$c"])
def test_labels_in_figures_are_no_mathematics(label):
    ax = plt.figure().subplots()
    ax.plot([0, 1], [0, 1], label=label)
    ax.set(xlabel=label, ylabel=label)
    plots.style.finish(ax, label)
    legend = ax.get_legend()
    assert legend is not None
    for text in (ax.xaxis.label, ax.yaxis.label, *legend.get_texts()):
        shown, math = text._preprocess_math(text.get_text())  # type: ignore[attr-defined]
        assert not math and shown == label.replace("\\", "")
    ax.figure.canvas.draw()
    plt.close("all")
