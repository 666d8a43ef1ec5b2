"""The command of a first design, and one answer of several fits."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models, workflow
from bayeslaw.base.numbers import as_share
from bayeslaw.cli import QUESTIONS, app
from bayeslaw.cli.planning import questions
from bayeslaw.validation import first_design
from tests.stand_ins import stand_in


def test_every_decision_is_a_question_of_a_plan():
    assert list(questions()) == [*QUESTIONS, "loss"]


def test_a_plan_prints_and_writes_the_best_design(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["plan", "cmr_ratio", "loss", "--domain-share=0.6", "--budget=4", "--simulations=2"]
    done = CliRunner().invoke(app, [*words, "--prior=s=1:0.2", "--json", "-o", "runs.csv"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["cost_unit"], found["budget"], found["best"]) == ("runs", 4, "4 shares, evenly")
    assert 0 < found["designs"][0]["width"] < found["width_before"]
    written = pd.read_csv("runs.csv")
    assert list(written)[:2] == ["run", "domain_share"] and len(written) == 4
    assert list(written)[2:] and written[list(written)[2:]].isna().all(axis=None), "losses to fill in"


def test_a_plan_says_that_the_file_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"run": ["run 1", "run 2"], "N": [1000, 2000], "D": [3000, 4000], "validation_loss": np.nan})
    asked: list[Any] = []

    def planned(law: Any, question: str, *_: Any, **__: Any) -> Any:
        asked.append(question)
        return SimpleNamespace(designs={"4 sizes": rows}, best="4 sizes", as_json=dict)

    monkeypatch.setattr(first_design, "plan", planned)
    words = ["plan", "dcpt", "critical-ratio", "--N=1e9", "--D=1e10", "--max-rise=0.02", "--budget=1e20", "-o", "r.csv"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and done.stdout.endswith("r.csv: 2 rows of '4 sizes', with losses to fill in\n")
    assert asked == ["critical-ratio"]
    assert (tmp_path / "r.csv").read_text().splitlines()[1] == "run 1,1000,3000,"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nolaw", "loss", "--budget=4"], "no law 'nolaw'"),
        (["data_mixing", "best-mixture", "--budget=40"], "--source web --source code"),
        (["chinchilla", "critical-ratio", "--max-rise=0.02", "--budget=1e20"], "does not answer critical-ratio: ask"),
        (["lr_annealing", "allocation", "--flops=1e21", "--budget=4"], "no first design is known"),
        (["dcpt", "loss", "--N=1e9", "--D=1e10", "--domain-share=0.5"], "--budget"),
    ],
)
def test_a_mistake_is_one_line(words, said):
    done = CliRunner().invoke(app, ["plan", *words])
    assert done.exit_code == 2 and said in done.stderr and not done.stdout


def test_one_answer_of_several_fits(table_for, tmp_path, monkeypatch):
    """Each fit with its weight, the mixture, and whether they agree."""
    one, other = (stand_in(models.catalogue[name], table_for, draws=120) for name in ("chinchilla", "skaling"))
    other = bl.Fit(bl.Model(models.skaling, one.model.runs), other.idata, other.settings)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.nc").touch()
    monkeypatch.setattr(workflow, "load", lambda path: {"a": one, "b": other}[path.stem])
    words = ["decide", "allocation", "a.nc", "--also=b.nc", "--flops=1e21"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    weights = {name: each["weight"] for name, each in found["each"].items()}
    assert sum(weights.values()) == pytest.approx(1) and isinstance(found["agreement"], bool)
    shown = CliRunner().invoke(app, words).stdout
    assert all(f"{name}, weight {as_share(weight)}: " in shown for name, weight in weights.items())
    assert "agreement of laws" in shown
