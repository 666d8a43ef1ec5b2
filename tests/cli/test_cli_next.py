"""The command of the next run: questions, candidates, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayeslaw import models, workflow
from bayeslaw.cli import QUESTIONS, app
from bayeslaw.cli.next_runs import questions
from tests.stand_ins import stand_in

AT = ["loss", "--N=1e11", "--D=1e12"]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table_for: Any) -> Callable[..., Any]:
    """Ask for the next run of a fit of a law, in a folder with a grid."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.nc").touch()
    grid = pd.DataFrame({"N": [1e8, 1e9, 1e10], "D": [1e10] * 3, "hours": [1.0, 2.0, 0.0], "domain_share": 0.5})
    grid.to_csv("grid.csv", index=False)

    def answered(*words: str, law: str = "chinchilla") -> Any:
        fit = stand_in(models.catalogue[law], table_for, draws=100)
        monkeypatch.setattr(workflow, "load", lambda _: fit)
        return CliRunner().invoke(app, ["next", "fit.nc", *words])

    return answered


def test_every_decision_is_a_question_and_so_is_a_loss():
    assert list(questions()) == [*QUESTIONS, "loss"]


def test_a_batch_as_json(ask):
    words = ["--candidates=grid.csv", "--budget=2e20", "--batch=2", "--json"]
    done = ask(*AT, *words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["question"], found["unit"], found["cost_unit"]) == ("loss", "nats per token", "FLOPs")
    assert [c["cost"] for c in found["candidates"]] == pytest.approx([6e18, 6e19, 6e20])
    assert found["chosen"] and found["chosen"][-1]["cost"] <= 2e20 and found["stop"] is False
    assert "narrow the interval from" in found["reason"]
    choice = json.loads(ask("allocation", "--flops=1e22", "--candidates=grid.csv", "--json").stdout)
    assert choice["unit"] == "decades" and choice["candidates"][0]["regret"] >= 0


def test_the_seed_is_that_of_the_simulated_errors(ask):
    first, again, other = (ask(*AT, "--candidates=grid.csv", "--json", f"--seed={n}").stdout for n in (0, 0, 1))
    assert first == again == ask(*AT, "--candidates=grid.csv", "--json").stdout != other


def test_a_table_in_words(ask):
    done = ask("loss", "--N", "1e11", "--D", "1e12", "--candidates", "grid.csv")
    assert done.exit_code == 0, done.output
    assert "next runs for the loss: 89 % interval of width" in done.stdout
    assert len([line for line in done.stdout.splitlines() if " B " in line]) >= 4


def test_without_candidates_it_goes_one_step_beyond_the_runs(ask):
    words = ["--N=2e9", "--D=1e10", "--max-rise=0.01", "--domain=code", "--json"]
    done = ask("critical-ratio", *words, law="dcpt")
    assert done.exit_code == 0, done.output
    assert max(c["N"] for c in json.loads(done.stdout)["candidates"]) == 8e9


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*AT, "--candidates=grid.csv", "--cost=hours"], "hours is 0 in row 2"),
        ([*AT, "--candidates=grid.csv", "--budget=1"], "budget is 1, below the cheapest"),
        (["loss", "--N=1e11", "--candidates=grid.csv"], "D is missing: chinchilla needs N, D"),
        (["best-mixture", "--candidates=grid.csv"], "the law chinchilla does not"),
        ([*AT, "--candidates=none.csv"], "no file"),
        ([*AT, "--batch=0"], "batch is 0: give how many runs to choose, 1 to 8"),
    ],
)
def test_what_it_cannot_weigh_is_one_sentence(ask, words, says):
    done = ask(*words)
    assert done.exit_code == 2 and not done.stdout
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1
