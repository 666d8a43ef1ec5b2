"""The section of a report of several fits that gives one answer."""

import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.numbers import as_share
from tests.stand_ins import stand_in


@pytest.mark.filterwarnings("ignore:.*cannot be trusted:UserWarning")  # draws that were not sampled
def test_a_report_of_several_laws_gives_one_answer(table_for, tmp_path):
    one, other = (stand_in(models.catalogue[name], table_for, draws=120) for name in ("chinchilla", "skaling"))
    other = bl.Fit(bl.Model(models.skaling, one.model.runs), other.idata, other.settings)
    text = bl.report({"added": one, "joined": other}, tmp_path / "laws.md").read_text("utf-8")
    section = text.split("## One answer of all")[1].split("## What to do")[0]
    weight = bl.compare({"added": one, "joined": other})["weight"]
    assert all(f"{name} {as_share(weight[name])}" in section for name in ("added", "joined"))
    header = next(line for line in section.splitlines() if line.startswith("| answer"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["answer", "added", "joined", "stacked"]
    assert "sum of their half intervals apart" in section or "one law has all the weight" in section.lower()


def test_laws_of_other_questions_have_none(table_for, tmp_path):
    fits = {name: stand_in(models.catalogue[name], table_for, draws=60) for name in ("chinchilla", "data_mixing")}
    text = bl.report(fits, tmp_path / "laws.md").read_text("utf-8")
    assert "## One answer of all" not in text
