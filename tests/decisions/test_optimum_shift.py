"""How far the best mixture moves between two sizes: as by hand by the joint law, and never by the additive one."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bayeslaw import models
from bayeslaw.base.numbers import probability
from bayeslaw.cli import app
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.optimum_shift import moves
from bayeslaw.errors import LawError, RangeError
from tests.stand_ins import stand_in


@pytest.fixture
def joint(table_for):
    return stand_in(models.joint_mixture, table_for, draws=30)


def test_a_law_that_cannot_move_its_optimum_is_not_asked_whether_it_does(table_for):
    """An answer of 0 with certainty would be its form's, not that of the runs."""
    fit = stand_in(models.additive_mixture, table_for, draws=20)
    ends = [fit.best_mixture(N=N, D=1e10).draws for N in (1e8, 7e9)]
    np.testing.assert_allclose(ends[0].values, ends[1].values, atol=1e-4)
    with pytest.raises(
        LawError, match="best mixture of additive_mixture does not depend on N or D, .*: use a law in which it does"
    ):
        fit.optimum_shift(N=[1e8, 7e9], D=1e10)
    moving = [name for name, law in models.catalogue.items() if moves(law)]
    assert moving == ["nested_data_mixing", "joint_mixture"]
    assert not DECISIONS["optimum_shift"].applies(models.additive_mixture)


def test_it_is_the_largest_change_between_two_best_mixtures(joint):
    ends = [joint.best_mixture(N=N, D=D).draws for N, D in ((1e8, 1e9), (7e9, 1e11))]
    shift = joint.optimum_shift(N=[1e8, 7e9], D=[1e9, 1e11])
    np.testing.assert_allclose(shift.change, ends[1] - ends[0], atol=5e-3)
    np.testing.assert_array_equal(shift.draws, abs(shift.change).max("source"))
    assert shift.draws.dims == ("chain", "draw") and float(shift.draws.max()) > 0.01
    far = float(shift.draws.median())
    assert shift.probability_above(far) == pytest.approx(0.5, abs=0.05)
    assert f"by more than 0.05 with probability {probability(shift.probability_above())}" in repr(shift)
    same = joint.optimum_shift(N=[7e9, 1e8], D=[1e11, 1e9])
    np.testing.assert_allclose(same.draws, shift.draws, atol=5e-3)


def test_bounds_hold_at_both_ends(joint):
    shift = joint.optimum_shift(N=[1e8, 7e9], D=1e10, at_most={"web": 0.4}, at_least={"web": 0.4})
    assert abs(shift.change.sel(source="web")).max() < 1e-9


@pytest.mark.parametrize(
    "asked", [{"D": 1e10}, {"N": 1e8, "D": 1e10}, {"N": [1e8, 1e9, 1e10], "D": 1e10}, {"N": [1e8, 1e8]}]
)
def test_two_different_ends_are_asked_for(joint, asked):
    with pytest.raises(RangeError, match="give two different values of N or of D"):
        joint.optimum_shift(**asked)


def test_laws_without_shares_do_not_answer(table_for):
    with pytest.raises(LawError, match="does not depend on weight"):
        stand_in(models.chinchilla, table_for, draws=20).optimum_shift(N=[1e8, 1e9], D=1e10)


def test_the_command_line_says_the_same(joint, tmp_path):
    path = joint.save(tmp_path / "fit.nc")
    words = ["decide", "optimum-shift", str(path), "--N", "1e8", "--N", "7e9", "--D", "1e10", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    answer, expected = json.loads(done.stdout), joint.optimum_shift(N=[1e8, 7e9], D=1e10)
    assert answer["median"] == pytest.approx(float(expected.median()))
    assert answer["p_above_0.05"] == expected.probability_above(0.05)
    assert answer["change"].keys() == {"web", "code", "books"}
