"""The smallest replay: the critical ratio from the other side, with what it costs."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bayeslaw import models
from bayeslaw.base.numbers import probability, short
from bayeslaw.cli import app
from bayeslaw.errors import LawError, RangeError
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in


@pytest.fixture
def fit(table_for):
    return stand_in(models.replay, table_for, draws=40)


AT: dict[str, Any] = {"N": 5e8, "D": 1e10}


def rise(fit: Fit, share: float) -> np.ndarray:
    found: np.ndarray = fit.predict(**AT, domain_share=share).draws.squeeze().values.ravel()
    return found


def test_it_is_one_minus_the_largest_safe_domain_share(fit):
    limit = float(np.median(rise(fit, 0.98))) - 2.0
    asked = {**AT, "baseline": 2.0, "max_increase": limit}
    replay, ratio = fit.smallest_replay(**asked), fit.critical_ratio(**asked)
    np.testing.assert_array_equal(replay.draws, 1 - ratio.draws)
    assert (replay.low, replay.high) == (0.0, pytest.approx(0.1))
    assert float(replay.median()) == pytest.approx(0.02, abs=2e-3)
    enough = float(replay.enough())
    within = [(rise(fit, 1 - p) <= 2.0 + limit).mean() for p in (enough + 1e-6, enough - 1e-3)]
    assert within[0] >= 0.9 > within[1]
    assert float(replay.tokens()) == pytest.approx(1 / (1 - enough))
    assert f"a replay of {enough:.3g} is enough with probability 0.9" in repr(replay)
    assert float(replay.enough(0.5)) < enough


def test_a_limit_that_no_replay_of_the_range_keeps_has_no_answer(fit):
    never = fit.smallest_replay(**AT, baseline=2.0, max_increase=float(rise(fit, 0.9).min()) - 2.01)
    assert float(never.p_never) == 1 and np.isnan(never.enough()) and np.isnan(never.tokens())
    assert ">= 0.1" in str(never.text().item()) and "no replay up to 0.1 is enough with probability 0.9" in never.note
    none = fit.smallest_replay(**AT, baseline=2.0, max_increase=float(rise(fit, 1.0).max()) - 1.99)
    assert float(none.p_always) == 1 and float(none.enough()) == 0 and float(none.tokens()) == 1


def test_the_domain_tokens_are_kept_by_more_tokens_of_the_stream(fit):
    several = fit.smallest_replay(**AT | {"N": [1e8, 5e8]}, baseline=2.0, max_increase=1.0)
    assert several.enough().dims == ("N",) and "N 100 M: " in several.note
    with pytest.raises(RangeError, match="probability between 0 and 1"):
        several.enough(1.0)


def test_forgetting_has_no_turning_point(fit):
    with pytest.raises(LawError, match="replay has no turning point"):
        fit.critical_ratio(**AT, rule="turning-point")


def test_the_command_line_says_the_same(fit, tmp_path):
    path = fit.save(tmp_path / "fit.nc")
    words = ["decide", "smallest-replay", str(path), "--N", "5e8", "--D", "1e10", "--baseline", "2", "--max-increase"]
    limit = float(np.median(rise(fit, 0.98))) - 2.0
    done = CliRunner().invoke(app, [*words, f"{limit:.9g}", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    expected = fit.smallest_replay(**AT, baseline=2.0, max_increase=float(f"{limit:.9g}"))
    assert answer["median"] == pytest.approx(float(expected.median()))
    assert answer["enough_with_0.9"] == pytest.approx(float(expected.enough()))
    assert answer["times_the_tokens"] == pytest.approx(float(expected.tokens()))
    done = CliRunner().invoke(app, [*words, f"{limit:.9g}", "--safe", "0.03"])
    assert done.exit_code == 0, done.output
    assert f"enough_with_0.9  {short(expected.enough())}\n" in done.stdout
    assert f"p_safe_at_0.03  {probability(expected.probability_safe(0.03))}\n" in done.stdout


def test_a_replay_is_safe_where_the_share_beside_it_is(fit):
    found = fit.smallest_replay(**AT, baseline=2.0, max_increase=float(np.median(rise(fit, 0.98))) - 2.0)
    some = found.probability_safe([0.01, 0.02, 0.09])
    assert some.dims == ("replay",) and 0 < float(some[1]) < 1 and (np.diff(some) >= 0).all()
    assert float(found.probability_safe(float(found.enough()))) >= 0.9
    np.testing.assert_allclose(some, found.ratio.probability_safe([0.99, 0.98, 0.91]))
    with pytest.raises(RangeError, match=r"replay is 0.5: give one in the searched range \[0, 0.1\]"):
        found.probability_safe(0.5)


def test_json_has_null_where_no_replay_is_enough(fit, tmp_path):
    path, least = fit.save(tmp_path / "fit.nc"), float(rise(fit, 0.9).min()) - 2.01
    words = ["decide", "smallest-replay", str(path), "--N", "5e8", "--D", "1e10", "--baseline", "2"]
    words += ["--max-increase", f"{least:.9g}"]
    answer = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout, parse_constant=pytest.fail)
    assert answer["enough_with_0.9"] is None and answer["times_the_tokens"] is None
    assert "enough_with_0.9  none\n" in CliRunner().invoke(app, words).stdout
