"""The command of a first design, and one answer of several fits."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models, workflow
from bayeslaw.base.numbers import as_share
from bayeslaw.cli import QUESTIONS, app
from bayeslaw.cli.planning import questions
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
    assert list(pd.read_csv("runs.csv")) == ["run", "domain_share"] and len(pd.read_csv("runs.csv")) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nolaw", "loss", "--budget=4"], "no law 'nolaw'"),
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
