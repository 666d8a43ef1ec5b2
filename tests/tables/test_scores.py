"""Scores against the losses that they follow, at the door; scores alone are in tests/models/test_upsampling.py."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError, UnknownName

LADDER = pd.DataFrame(
    {
        "run": np.repeat(["a", "b"], 3),
        "D": [1e9, 2e9, 4e9] * 2,
        "c4_loss": [3.9, 3.5, 3.2, 3.4, 3.0, 2.7],
        "quiz_score": [0.26, 0.3, 0.33, 0.31, 0.42, 0.55],
        "task_score": [0.1, 0.2, np.nan, 0.2, 0.4, 0.5],
    }
)


def test_every_benchmark_has_rows_and_runs_of_its_own():
    runs = bl.read_scores(LADDER, against="c4_loss", chance={"quiz": 0.25, "task": 0.0})
    assert runs.evals == ("quiz", "task") and len(runs) == 11  # a score that was not measured has no row
    assert sorted(runs.table["run"].unique()) == ["a, quiz", "a, task", "b, quiz", "b, task"]
    quiz = runs.table[runs.table["benchmark"] == "quiz"]
    np.testing.assert_allclose(quiz["quiz_loss"], 1 - LADDER["quiz_score"])
    assert quiz["L"].tolist() == LADDER["c4_loss"].tolist() and (quiz["chance"] == 0.25).all()
    assert quiz["task_loss"].isna().all() and "not measured" not in runs.note
    model = bl.Model(models.loss_to_score, runs)
    assert model.noise.correlated and not model.noise.joint  # no two benchmarks are in one row


def test_numbers_of_items_beside_checkpoints_are_left_unused_and_the_note_says_so():
    """Asked for by name they are refused by the model, whose errors are then correlated."""
    table, chance = LADDER.assign(quiz_items=1000), {"quiz": 0.25, "task": 0.0}
    runs = bl.read_scores(table, against="c4_loss", chance=chance)
    assert "numbers of items not used: the checkpoints of a run share its errors" in runs.note
    assert runs.table.equals(bl.read_scores(LADDER, against="c4_loss", chance=chance).table)
    bl.Model(models.loss_to_score, runs)
    once = bl.read_scores(table.drop_duplicates("run"), against="c4_loss", chance=chance)
    np.testing.assert_allclose(once.table["quiz_loss_sd"].dropna(), np.sqrt([0.26 * 0.74 / 1000, 0.31 * 0.69 / 1000]))
    assert "not used" not in once.note
    asked = bl.read_scores(table, against="c4_loss", chance=chance, items={"quiz": 1000})
    with pytest.raises(DataError, match="known measurement errors .* cannot be combined with correlated errors"):
        bl.Model(models.loss_to_score, asked)
    with pytest.raises(DataError, match="quiz_chance is 25 in row 0 .*divide percentages by 100"):
        bl.read_scores(LADDER.assign(quiz_chance=25), against="c4_loss", chance={"task": 0.0})


def test_scores_read_without_their_loss_are_sent_to_it():
    runs = bl.read_scores(LADDER.drop(columns="task_score").rename(columns={"c4_loss": "c4_bpb"}))
    with pytest.raises(DataError, match="needs a column 'L'.*read_scores.*against='its column'.*--loss QUIZ=COLUMN"):
        bl.Model(models.loss_to_score, runs)


def test_each_score_may_follow_a_loss_of_its_own_in_a_unit_of_its_own():
    table = LADDER.assign(quiz_bpb=np.linspace(1.2, 0.8, 6), task_chance=0.1)
    runs = bl.read_scores(
        table, score={"quiz": "quiz_score"}, against={"quiz": "quiz_bpb"}, chance=0.25,
        unit="bits per byte", bytes_per_token=1,
    )  # fmt: skip
    np.testing.assert_allclose(runs.table["L"], np.log(2) * table["quiz_bpb"])
    with pytest.raises(DataError, match="the column 'quiz_bpb' looks like bits per byte"):
        bl.read_scores(table, against={"quiz": "quiz_bpb", "task": "c4_loss"}, chance=0.25)
    assert bl.read_scores(table, score={"task": "task_score"}, against="c4_loss").table["chance"].eq(0.1).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"against": "c4_loss"}, "the score of guessing in quiz is not known: give chance={'quiz': 0.25}"),
        ({"against": "c4_los", "chance": 0.25}, "no column 'c4_los'; did you mean 'c4_loss'"),
        ({"against": {"quiz": "c4_loss"}, "chance": 0.25}, "in against=. 'task'"),
        ({"against": "c4_loss", "chance": 25}, "chance is 25 .* guessing scores 0 or more, and less than 1"),
        ({"against": "c4_loss", "chance": {"quiz": 0.25}}, "the score of guessing in task"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises((DataError, UnknownName), match=sentence):
        bl.read_scores(LADDER, **settings)
