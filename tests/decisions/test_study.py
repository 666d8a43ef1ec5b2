"""A study asks each question once, whoever needs the answer."""

from dataclasses import replace
from functools import wraps
from typing import Any

import pytest

from bayeslaw import models
from bayeslaw.checks import answers, priors
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.study import study_of
from bayeslaw.reporting import ratios, report
from tests.stand_ins import stand_in


@pytest.fixture
def asked(monkeypatch):
    """The questions that reach the critical ratio."""
    decision, questions = DECISIONS["critical_ratio"], []

    @wraps(decision.ask)
    def ask(fit: Any, **question: Any) -> Any:
        questions.append(question)
        return decision.ask(fit, **question)

    monkeypatch.setitem(DECISIONS, "critical_ratio", replace(decision, ask=ask))
    return questions


def test_a_report_with_its_checks_solves_four_questions_four_times(asked, table_for, tmp_path):
    fit = stand_in(models.dcpt, table_for)
    assert answers.boundary(fit) is not None and answers.influence(fit) is not None
    assert priors.prior_sensitivity(fit) is not None
    assert len(asked) == 1
    report(fit, tmp_path / "dcpt.md", progress=False)
    ratios.critical_ratios(fit)
    limits = sorted((q.get("max_rise", 0.0), q.get("new_run", False)) for q in asked)
    assert limits == [(0.0, False), (0.0, True), (0.01, False), (0.01, True)]


def test_a_study_knows_its_decisions_and_its_question(table_for):
    study = study_of(stand_in(models.dcpt, table_for, draws=5))
    assert study is study_of(study.fit)
    assert [d.name for d in study.decisions] == [
        "critical_ratio",
        "smallest_replay",
        "best_ratio",
        "allocation",
        "tokens_for",
        "score",
    ]
    assert study.question is not None and study.question[0].name == "critical_ratio"
    mixture = study_of(stand_in(models.data_mixing, table_for, draws=5))
    assert [d.name for d in mixture.decisions] == ["best_mixture", "score"] and mixture.critical_ratio is None
    assert set(mixture.answers["decision"].values) == {""}


@pytest.mark.parametrize("law", [models.cmr_ratio, models.bimix], ids=lambda law: law.name)
def test_a_law_without_roles_asks_the_critical_ratio_of_the_general_loss(table_for, law):
    def both(law: Any, **settings: Any) -> Any:
        table = table_for(law, **settings).rename(columns={"validation_loss": "general_loss"})
        return table.assign(domain_loss=table["general_loss"])

    question = study_of(stand_in(law, both, draws=5)).question
    assert question is not None and question[0].name == "critical_ratio"
    assert study_of(stand_in(law, table_for, draws=5)).question is None
