"""The cautions of an answer are the same in Python, on the command line and in JSON: of decisions and predictions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models, schedules, workflow
from bayeslaw.cli import app
from bayeslaw.decisions import DECISIONS
from bayeslaw.errors import Caution
from bayeslaw.posterior import cautions
from bayeslaw.posterior.convergence import Convergence
from bayeslaw.validation import comparison
from bayeslaw.workflow import Fit
from tests.stand_ins import second_stage, stand_in

FLAT = schedules.constant(4000, 2e-4, warmup=100)
BEFORE = schedules.constant(8000, 2e-4, warmup=100)
MANY, MOST = 9.6e10, 2.4e12
"""Sizes and tokens 48 times beyond the largest of the runs."""

ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "critical_ratio": (
        "dcpt",
        {"N": MANY, "D": MOST, "max_rise": 0.5, "baseline": 3.0},
        f"--N {MANY} --D {MOST} --max-rise 0.5 --baseline 3.0",
    ),
    "smallest_replay": (
        "dcpt",
        {"N": MANY, "D": MOST, "max_rise": 0.5, "baseline": 3.0},
        f"--N {MANY} --D {MOST} --max-rise 0.5 --baseline 3.0",
    ),
    "best_ratio": ("dcpt", {"N": MANY, "domain_tokens": 1e12}, f"--N {MANY} --domain-tokens 1e12"),
    "allocation": ("chinchilla", {"flops": 1e30}, "--flops 1e30"),
    "tokens_for": ("chinchilla", {"loss": 2.5, "N": MANY}, f"--loss 2.5 --N {MANY}"),
    "best_mixture": ("nested_data_mixing", {"N": MANY, "D": MOST}, f"--N {MANY} --D {MOST}"),
    "optimum_shift": ("nested_data_mixing", {"N": [1e9, MANY], "D": MOST}, f"--N 1e9 --N {MANY} --D {MOST}"),
    "equivalent_compute": (
        "nested_data_mixing",
        {"mixture": {"s0": 1.0}, "than": {"s1": 1.0}, "N": MANY, "D": MOST},
        f"--mixture SOURCE0=1 --than SOURCE1=1 --N {MANY} --D {MOST}",
    ),
    "best_duration": ("domain_upsampling", {}, ""),
    "best_schedule": (
        "lr_annealing",
        {"candidates": {"a": FLAT, "b": FLAT}},
        "--candidate a=flat.csv --candidate b=flat.csv",
    ),
    "turning_length": ("cpt_dynamics", {"schedule": FLAT, "before": BEFORE}, "flat.csv --before before.csv"),
    "critical_point": ("cpt_dynamics", {}, ""),
    "score": ("chinchilla", {"stage2": second_stage(), "N": MANY, "D": MOST}, f"stage2.nc --N {MANY} --D {MOST}"),
}


def write(path: Path, plan: schedules.Schedule) -> None:
    pd.DataFrame({"step": np.arange(1, len(plan) + 1), "lr": plan.lr}).to_csv(path, index=False)


def said(stderr: str) -> tuple[str, ...]:
    begin = "bayeslaw: caution: "
    return tuple(line.removeprefix(begin) for line in stderr.splitlines() if line.startswith(begin))


@pytest.fixture
def unconverged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "convergence", lambda _: Convergence(r_hat=1.3, ess=40, divergences=0))


def test_every_decision_is_asked():
    assert set(ASKED) == set(DECISIONS)


@pytest.mark.parametrize("name", ASKED)
def test_a_decision_cautions_alike_in_python_and_on_the_command_line(
    name: str,
    table_for: Callable[..., pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unconverged: None,
) -> None:
    law, asked, words = ASKED[name]
    fit = stand_in(models.catalogue[law], table_for, draws=60)
    if "SOURCE" in words:
        sources = [str(s) for s in fit.model.design.over["source"]]
        asked = asked | {"mixture": {sources[0]: 1.0}, "than": {sources[1]: 1.0}}
        words = words.replace("SOURCE0", sources[0]).replace("SOURCE1", sources[1])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.nc").touch()
    (tmp_path / "stage2.nc").touch()
    write(tmp_path / "flat.csv", FLAT)
    write(tmp_path / "before.csv", BEFORE)
    answer = getattr(fit, name)(**asked)
    assert answer.cautions[0].startswith("the fit did not converge") and len(set(answer.cautions)) == len(
        answer.cautions
    )
    if {"N", "D", "flops", "domain_tokens"} & set(asked):
        assert any("times beyond" in c for c in answer.cautions), answer.cautions
    assert all(c in answer.note and c in repr(answer) for c in answer.cautions)
    monkeypatch.setattr(workflow, "load", lambda path: asked["stage2"] if path.stem == "stage2" else fit)
    for how in ([], ["--json"]):
        done = CliRunner().invoke(app, ["decide", name.replace("_", "-"), "fit.nc", *words.split(), *how])
        assert done.exit_code == 0, done.output
        assert said(done.stderr) == answer.cautions
    found = json.loads(done.stdout)
    assert tuple(found["cautions"]) == answer.cautions and found["note"] == answer.note


def test_a_prediction_cautions_alike(table_for, tmp_path, monkeypatch, unconverged):
    fit = stand_in(models.nested_data_mixing, table_for, draws=60)
    sources = [str(s) for s in fit.model.design.over["source"]]
    far = pd.DataFrame({"N": [1e9, MANY], "D": 1e10, **{f"weight_{s}": float(s == sources[0]) for s in sources}})
    far.to_csv(tmp_path / "grid.csv", index=False)
    (tmp_path / "fit.nc").touch()
    monkeypatch.setattr(workflow, "load", lambda _: fit)
    done = CliRunner().invoke(
        app, ["predict", *(str(tmp_path / f) for f in ("fit.nc", "grid.csv")), "-o", str(tmp_path / "p.csv")]
    )
    assert done.exit_code == 0, done.output
    single = fit.predict(N=MANY, D=1e10, weight={sources[0]: 1.0}).cautions
    with pytest.warns(Caution) as warned:
        found = fit.predict(far)
    assert said(done.stderr) == tuple(found.attrs["cautions"]) == single == tuple(str(w.message) for w in warned)
    assert {w.filename for w in warned} == {__file__}, "the line that asked"
    assert any("did not converge" in c for c in single) and any("N 96 B lies 48 times" in c for c in single)


def test_a_mixture_far_from_all_that_were_tried_is_named(table_for):
    fit = stand_in(models.regmix, table_for, draws=60)
    rows = fit.model.design.rows["weight"].isel(row=0)
    sources = [str(s) for s in rows["source"].values]
    assert fit.predict(weight=dict(zip(sources, rows.values, strict=True))).cautions == ()
    table = fit.model.runs.table
    near = table[(table[[f"weight_{s}" for s in sources]] < 0.9).all(axis=1)]
    some = replace(fit, model=bl.Model(models.regmix, replace(fit.model.runs, table=near.reset_index(drop=True))))
    (caution,) = some.predict(weight={sources[0]: 1.0}).cautions
    assert "of the tokens of this mixture would have to change for the nearest one of the runs" in caution


@pytest.mark.filterwarnings("ignore:the score of")
def test_compared_fits_that_did_not_converge_are_named(table_for, tmp_path, monkeypatch):
    fit = stand_in(models.chinchilla, table_for, draws=120)
    monkeypatch.setattr(comparison, "cautions", lambda f: ["the fit did not converge"] if f is fit else [])
    other = replace(fit, seconds=2.0)
    with pytest.warns(UserWarning, match="'a': the fit did not converge"):
        bl.compare({"a": fit, "b": other})
    for name in ("a.nc", "b.nc"):
        (tmp_path / name).touch()
    monkeypatch.setattr(workflow, "load", lambda path: fit if Path(path).stem == "a" else other)
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "a.nc"), str(tmp_path / "b.nc")])
    assert done.exit_code == 0 and "'a': the fit did not converge" in done.output


def test_a_point_fit_says_that_it_has_no_interval(table_for):
    fit = stand_in(models.chinchilla, table_for, draws=60)
    point = Fit(fit.model, fit.idata.isel(chain=[0], draw=[0]), {"method": "mle"}, 1.0)
    assert (
        "has no interval" in point.predict(N=5e8, D=1e9).note and "has no interval" in point.allocation(flops=1e19).note
    )
