"""Every command and every verb with every kind of law: one law of each kind through the program, all others in process.

The program starts twice: for the fits of the laws of all kinds, and for all the commands that read these, which run one
after the other as `bayeslaw.cli.app` runs them.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from shutil import copy
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app
from bayeslaw.decisions import DECISIONS
from bayeslaw.declare.laws import Kind, Law
from bayeslaw.workflow import Fit
from tests.stand_ins import PLANS, second_stage, stand_in

REPRESENTATIVES = {
    "score": "loss_to_score",
    "schedule": "lr_annealing",
    "mixture": "nested_data_mixing",
    "window": "domain_upsampling",
    "share": "dcpt",
    "size": "chinchilla",
    "other": "cpt_out_of_domain",
}
"""One law of each kind."""

SAMPLING = ("--draws=100", "--chains=1", "--seed=1")

SEVERAL = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from bayeslaw.cli import app
for line in sys.stdin:
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(said), redirect_stderr(complained):
        try:
            app(json.loads(line))
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, said.getvalue(), complained.getvalue()]), flush=True)
"""
"""A program that runs command lines, one each line, and prints what came of them."""


def table_of(fit: Fit) -> pd.DataFrame:
    """The runs as a user has them: what was measured, without what the readers compute."""
    runs, law = fit.model.runs, fit.model.law
    if law.kind != "schedule":
        return pd.concat([runs.baseline, runs.table], ignore_index=True)
    own = [c for c in ("run", "step", "lr", "N", "domain_share") if c in runs.table]
    return runs.table[[*own, *runs.loss_columns]]


def grid_of(fit: Fit) -> pd.DataFrame:
    """Rows to predict, with a column that is none of the law's."""
    asked = table_of(fit).drop(columns=fit.model.runs.measured_columns).tail(4)
    return asked.assign(note=list("abcd"))


def plans(folder: Path) -> list[str]:
    """Write schedules; the words that name them."""
    for name, plan in PLANS.items():
        pd.DataFrame({"step": np.arange(1, len(plan) + 1), "lr": plan.lr}).to_csv(folder / f"{name}.csv", index=False)
    return [f"--candidate={name}={folder / name}.csv" for name in ("flat", "wave")]


def question(fit: Fit, decision: str, folder: Path) -> list[str]:
    """The words of a question that the fit can answer."""
    law, design, largest = fit.model.law, fit.model.design, fit.model.design.rows.isel(row=-1)
    ask = signature(DECISIONS[decision].ask).parameters
    sought = {"allocation": ("N", "D"), "tokens_for": ("D",), "best_ratio": ("D",)}.get(decision, ())
    at: dict[str, str] = {c: f"--{c}={largest[c].item():g}" for c in ("N", "D", "U") if c in law.columns}
    share = 0.95 if "replay" in law.covariates else 0.5  # in the range of the law
    at |= {"domain_share": f"--domain-share={share}"} if "domain_share" in law.columns else {}
    words = [word for column, word in at.items() if column in ask and column not in sought]
    features = any(covariate.of for covariate in law.covariates.values())
    words += ["--domain=code"] if "domain" in design.groups or features else []
    loss = float(np.median(design.rows["loss"].isel(eval=-1)))
    before = [f"--before={folder / 'flat.csv'}"] if "S1cpt" in law.columns else []
    if decision in ("critical_ratio", "smallest_replay", "best_ratio", "tokens_for"):
        limited = decision in ("critical_ratio", "smallest_replay")
        words += [f"--eval={fit.evals[0] if limited else fit.evals[-1]}"]
    own: dict[str, list[str]] = {
        "critical_ratio": [f"--baseline={loss:g}", "--max-rise=0.2"],
        "smallest_replay": [f"--baseline={loss:g}", "--max-rise=0.2"],
        "best_ratio": ["--domain-tokens=1e9"],
        "allocation": ["--flops=1e21", "--flops-per-token=6.5"],
        "tokens_for": [f"--loss={loss:g}"] + (["--mixture=web=1"] if law.kind == "mixture" else []),
        "best_mixture": ["--max=web=0.8"],
        "optimum_shift": ["--N=1e8"],
        "equivalent_compute": ["--mixture=web=1", "--than=code=0.5", "--than=web=0.5"],
        "best_duration": [f"--goal={fit.evals[0]}"],
        "best_schedule": [*plans(folder), *before],
        "turning_length": [str(folder / "wave.csv"), *before, f"--goal={fit.evals[0]}"],
        "critical_point": [f"--goal={fit.evals[0]}"],
        "score": [str(folder / "stage2.nc"), f"--eval={fit.evals[-1]}", "--reach=0.5"]
        + (["--mixture=web=1"] if law.kind == "mixture" else []),
    }
    return ["decide", decision.replace("_", "-"), "FIT", *own[decision], *words, "--json"]


def commands(fit: Fit, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command that reads a fit, with ``FIT`` for its file."""
    start = ["--warmup=100"] if fit.model.law.kind == "schedule" else []
    start += [f"--before={folder / 'flat.csv'}"] if "S1cpt" in fit.model.law.columns else []
    plans(folder)
    second_stage().save(folder / "stage2.nc")
    yield "check", ["check", "FIT"]
    yield "predict", ["predict", "FIT", str(folder / "grid.csv"), "-o", str(folder / "predicted.csv"), *start]
    yield "new run", ["predict", "FIT", str(folder / "grid.csv"), "-o", str(folder / "new.csv"), "--new-run", *start]
    for name, decision in DECISIONS.items():
        if decision.applies(fit.model.law):
            yield name, question(fit, name, folder)
    yield "compare", ["compare", "FIT", str(folder / "other.nc")]
    yield "report", ["report", "FIT", "-o", str(folder / "report.md")]
    yield "explore", ["explore", "FIT", "-o", str(folder / "page.html")]
    folds = 3 if fit.model.law.kind in ("schedule", "size") else 2  # what is left has two runs of everything
    yield "evaluate", ["evaluate", "FIT", f"--splits=runs:{folds}", "-o", str(folder / "scores.csv")]


def judged(fit: Fit, folder: Path, done: dict[str, tuple[Any, str, str]]) -> None:
    """Check what the commands left and said."""
    for name, (code, said, complained) in done.items():
        allowed = (0, 1) if name in ("check", "evaluate") else (0,)
        assert code in allowed and "Traceback" not in complained, f"{name}: exit {code}, {complained}"
        assert name != "evaluate" or not code or "FAIL" in said, complained
        if name in DECISIONS:
            answer = json.loads(said)
            assert answer["name"] and np.isfinite(np.asarray(answer["median"], float)).all(), (name, answer)
    evals, sampled = len(fit.evals), pd.read_csv(folder / "predicted.csv")
    for predicted in (sampled, pd.read_csv(folder / "new.csv")):
        assert list(predicted["note"].iloc[::evals]) == list("abcd") and len(predicted) == 4 * evals
        assert (predicted["lower"] <= predicted["upper"]).all() and np.isfinite(predicted["mean"]).all()
    assert (folder / "report.md").stat().st_size > 2000
    assert "const LAWS" in (folder / "page.html").read_text(encoding="utf-8")
    assert {"fold", "eval", "crps"} <= set(pd.read_csv(folder / "scores.csv"))


def through_the_program(lines: list[list[str]]) -> list[tuple[Any, str, str]]:
    """Run command lines in one process of the program: exit code, output and complaints of each."""
    text = "\n".join(map(json.dumps, lines))
    ran = subprocess.run([sys.executable, "-c", SEVERAL], input=text, capture_output=True, text=True)
    done: list[tuple[Any, str, str]] = [tuple(json.loads(line)) for line in ran.stdout.splitlines()]
    assert len(done) == len(lines), ran.stderr
    return done


def test_the_program_knows_every_kind_of_law(table_for, tmp_path):
    folders = {kind: tmp_path / kind for kind in get_args(Kind.__value__)}
    fits = []
    for kind, folder in folders.items():
        law = models.catalogue[REPRESENTATIVES[kind]]
        assert law.kind == kind
        folder.mkdir()
        simulated = stand_in(law, table_for, draws=10)
        table_of(simulated).to_csv(folder / "runs.csv", index=False)
        grid_of(simulated).to_csv(folder / "grid.csv", index=False)
        start = ["--warmup=100"] if kind == "schedule" else []
        fits.append(["fit", law.name, f"{folder}/runs.csv", "-o", f"{folder}/fit.nc", *SAMPLING, *start])
    for kind, (code, said, complained) in zip(folders, through_the_program(fits), strict=True):
        assert code == 0 and "1 chain of 100 draws" in said, f"{kind}: {complained}"
        copy(folders[kind] / "fit.nc", folders[kind] / "other.nc")
    saved = {kind: bl.load(folder / "fit.nc") for kind, folder in folders.items()}
    asked = {
        (kind, name): [f"{folder}/fit.nc" if word == "FIT" else word for word in words]
        for kind, folder in folders.items()
        for name, words in commands(saved[kind], folder)
    }
    done = dict(zip(asked, through_the_program(list(asked.values())), strict=True))
    for kind, folder in folders.items():
        judged(saved[kind], folder, {name: found for (of, name), found in done.items() if of == kind})


def in_process(law: Law, table_for: Callable[..., pd.DataFrame], folder: Path) -> None:
    """Put every command to a made-up fit of a law."""
    made = stand_in(law, table_for, draws=60)
    fit = replace(made, settings={"method": "mle", "seed": 0})
    papers = fit.save(folder / "mle.nc")  # refits of such a fit are quick
    path = made.save(folder / "fit.nc")
    made.save(folder / "other.nc")
    grid_of(fit).to_csv(folder / "grid.csv", index=False)
    done = {}
    for name, words in commands(fit, folder):
        file = papers if name == "evaluate" else path
        given = [str(file) if word == "FIT" else word for word in words]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CliRunner().invoke(app, given)
        assert isinstance(result.exception, SystemExit | None), (name, result.exception)
        done[name] = result.exit_code, result.stdout, result.stderr
        pyplot.close("all")
    judged(fit, folder, done)


@pytest.mark.slow
@pytest.mark.parametrize("law", models.catalogue.values(), ids=lambda law: law.name)
def test_every_law_answers_every_command(law, table_for, tmp_path):
    in_process(law, table_for, tmp_path)


@pytest.mark.parametrize("law", models.catalogue.values(), ids=lambda law: law.name)
def test_every_law_answers_every_verb(law, table_for, tmp_path):
    """What the commands call, in Python: predictions, decisions, summaries, and a fit from its file."""
    fit = stand_in(law, table_for, draws=10)
    back = bl.load(fit.save(tmp_path / "fit.nc"))
    assert back.model.runs.hash == fit.model.runs.hash and back.posterior.equals(fit.posterior)
    at = fit.model.design.rows.isel(row=[0, -1])
    columns = {c: at[c] for c in (*law.columns, *fit.model.design.groups)}
    first, second = (one.predict(**columns, new_run=True).draws for one in (fit, back))
    assert first.equals(second) and np.isfinite(first).all()
    rows = fit.predict(fit.model.runs.table.drop(columns=fit.model.runs.measured_columns).head(2))
    assert len(rows) == 2 * len(fit.evals) and np.isfinite(rows["mean"]).all()
    assert law.title in repr(fit.model) and len(fit.summary()) >= len(law.coefficients)
