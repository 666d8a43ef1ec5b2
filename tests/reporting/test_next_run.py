"""The section of a report on the next run: its sentence, its table, and where it is left out."""

import re
import time

import pandas as pd
import pytest

from bayeslaw import models
from bayeslaw.checks import CheckResult
from bayeslaw.decisions.study import study_of
from bayeslaw.posterior.convergence import Convergence
from bayeslaw.reporting import content, report
from bayeslaw.reporting.next_run import next_run
from bayeslaw.validation.candidates import spent
from tests.reporting.test_report import made_up, sizes  # noqa: F401  (a fixture)
from tests.stand_ins import stand_in


def test_a_report_says_what_to_run_next(table_for, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "beside_papers_fit", lambda _: CheckResult("papers' fit", True, "the two agree"))
    fit = stand_in(models.chinchilla, table_for, draws=300)
    text = report(fit, tmp_path / "law.md").read_text(encoding="utf-8")
    section = text.partition("## What to run next")[2].partition("## ")[0]
    assert section.count("| ") > 20 and "without a refit" in section
    head = text.partition("## What to do")[0]
    said = re.search(
        r"One more run at N (.+?) is expected to narrow the interval of the allocation from ([\d.]+)", head
    )
    assert said is not None and float(said[2]) > 0 and re.search(r"for [\d.]+ % of the FLOPs spent so far", head)


def test_a_fit_that_has_not_converged_names_no_run(sizes, monkeypatch):  # noqa: F811
    fit = made_up(sizes.model, draws=300)
    monkeypatch.setattr("bayeslaw.reporting.next_run.convergence", lambda _: Convergence(1.3, 40, 0))
    assert next_run(fit) is None


def test_it_costs_no_more_than_the_dearest_run(sizes):  # noqa: F811
    fit = made_up(sizes.model, draws=300)
    found, costs = next_run(fit), spent(fit)
    assert found is not None and costs is not None
    assert isinstance(found.table, pd.DataFrame) and 1 <= len(found.table) <= 4
    assert found.table["cost"].max() <= costs.max() == 6 * 5e9 * 1e11
    assert found.table["narrower by"].is_monotonic_decreasing


def test_it_takes_little_beside_a_report(table_for):
    fit = stand_in(models.dcpt, table_for, draws=500)
    assert (study := study_of(fit)).critical_ratio is not None and study.question is not None
    began = time.process_time()
    assert next_run(fit) is not None
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("name", "draws"), [("lr_annealing", 300), ("loss_to_score", 300), ("dcpt", 60)])
def test_it_is_left_out_where_nothing_can_be_told(name, draws, table_for):
    """Of laws of curves, of laws whose reports answer no decision, and of few draws."""
    assert next_run(stand_in(models.catalogue[name], table_for, draws=draws)) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", models.catalogue)
def test_every_law_can_be_asked(name, table_for):
    found = next_run(stand_in(models.catalogue[name], table_for, draws=240))
    assert found is None or ("run" in found.sentence and 0 < len(found.table) <= 4)
