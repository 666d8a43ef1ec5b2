"""Schedules and the areas under them, against the papers' double sum written out."""

import time
from typing import Any

import numpy as np
import pytest

from bayeslaw import schedules
from bayeslaw.errors import RangeError, UnknownName
from bayeslaw.tables.schedules import MEMORY, Schedule


def double_sum(lr: np.ndarray, memory: float, since: int = 0, until: int | None = None) -> np.ndarray:
    """S2 after every step by eq. (1) of arXiv:2505.07796, over falls at steps since < k <= until (1-based)."""
    until = len(lr) if until is None else until
    area = np.zeros(len(lr))
    for t in range(1, len(lr) + 1):
        for i in range(1, t + 1):
            for k in range(max(2, since + 1), min(i, until) + 1):
                area[t - 1] += (lr[k - 2] - lr[k - 1]) * memory ** (i - k)
    return area


PLANS = {
    "constant": schedules.constant(60, 2.0),
    "cosine": schedules.cosine(60, 2.0, 0.2),
    "linear": schedules.linear(60, 2.0),
    "wsd": schedules.wsd(60, 2.0, 20, 0.1, shape="exponential"),
    "steps": schedules.multi_step(60, 2.0, {20: 1.0, 40: 0.3}),
    "cyclic": schedules.cyclic(60, 2.0, 0.5, 24),
    "sqrt": schedules.inverse_sqrt(60, 2.0, 1),
}


@pytest.mark.parametrize("name", PLANS)
def test_areas_are_the_papers_sums(name):
    plan = PLANS[name]
    areas = plan.areas(memory=0.9)
    np.testing.assert_allclose(areas["S1"], [plan.lr[:t].sum() for t in range(1, 61)], rtol=1e-12)
    np.testing.assert_allclose(areas["S2"], double_sum(plan.lr, 0.9, since=1 if name == "sqrt" else 0), atol=1e-12)
    assert list(areas["step"].values[[0, -1]]) == [1, 60]


def test_a_first_warm_up_counts_as_it_was_or_at_its_peak():
    plan = schedules.cosine(60, 2.0, warmup=10)
    linear, peak = plan.areas(memory=0.9), plan.areas(memory=0.9, warmup_counted="peak")
    np.testing.assert_allclose(linear["S1"], np.cumsum(plan.lr))
    np.testing.assert_allclose(peak["S1"] - linear["S1"], np.cumsum(np.r_[2.0 - plan.lr[:10], np.zeros(50)]))
    flat = np.r_[np.full(10, 2.0), plan.lr[10:]]
    np.testing.assert_allclose(linear["S2"], double_sum(flat, 0.9), atol=1e-12)
    np.testing.assert_allclose(peak["S2"], linear["S2"], atol=1e-12)


def test_a_second_warm_up_counts_against_the_annealing():
    plan = schedules.wsd(40, 2.0, 10, warmup=5).then(schedules.constant(40, 1.5, warmup=8))
    areas = plan.areas(memory=0.9)
    np.testing.assert_allclose(areas["S2cpt"], double_sum(plan.lr, 0.9, since=40), atol=1e-12)
    assert float(areas["S2cpt"][-1]) < -10
    peak = plan.areas(memory=0.9, warmup_counted="peak")
    np.testing.assert_allclose(peak["S1cpt"][40:], 1.5 * np.arange(1, 41))


@pytest.mark.parametrize("tail", ["frozen", "carried"])
def test_stages_sum_to_the_whole(tail):
    first, second = schedules.wsd(40, 2.0, 10, 0.3), schedules.cosine(30, 1.0, warmup=5)
    areas = first.then(second).areas(memory=0.95, tail=tail)
    alone = first.areas(memory=0.95)
    for area in ("S1", "S2"):
        np.testing.assert_allclose(areas[area], areas[f"{area}pt"] + areas[f"{area}cpt"])
        np.testing.assert_allclose(areas[f"{area}pt"][:40], alone[area])
        assert not areas[f"{area}cpt"][:40].any()
    np.testing.assert_allclose(areas["S1pt"][40:], float(alone["S1"][-1]))
    carried = double_sum(first.then(second).lr, 0.95, until=40)
    expected = carried[40:] if tail == "carried" else np.full(30, carried[39])
    np.testing.assert_allclose(areas["S2pt"][40:], expected, atol=1e-12)


def test_areas_of_the_published_script():
    """Area at the end of the 20,000 steps that the script of arXiv:2408.11029 is bundled with."""
    areas = schedules.cosine(20_000, 2e-4, warmup=500).areas(warmup_counted="peak")
    assert float(areas["S1"][-1]) == pytest.approx(2.0501, abs=2e-4)
    assert float(areas["S2"][-1]) == pytest.approx(0.19747, abs=1e-5)
    assert MEMORY == 0.999


def test_a_finished_decay_anneals_its_fall():
    decay = schedules.wsd(20_000, 2e-4, 1000)
    at_end = (1 - MEMORY) * float(decay.areas()["S2"][-1])
    later = (1 - MEMORY) * float((decay + schedules.constant(20_000, 1e-12)).areas()["S2"][-1])
    assert later == pytest.approx(2e-4, rel=1e-6)
    assert at_end < 0.5 * later  # steps at rate 0 still improve the loss: a known failure of the law


def test_a_million_steps_take_well_under_a_second():
    start = time.perf_counter()
    areas = schedules.cosine(1_000_000, 3e-4, warmup=2000).areas()
    assert time.perf_counter() - start < 1.0
    assert float(areas["S1"][-1]) == pytest.approx(150, rel=0.01)


def test_shapes_begin_and_end_where_they_should():
    for plan in (schedules.cosine(100, 3.0, 0.3, 10), schedules.linear(100, 3.0, 0.3, 10)):
        assert plan.lr[9] == 3.0 and plan.lr[-1] == pytest.approx(0.3) and plan.lr[0] == pytest.approx(0.3)
        assert plan.lr[54] == pytest.approx(1.65)
    for shape in ("linear", "cosine", "sqrt", "exponential"):
        lr = schedules.wsd(100, 3.0, 20, 0.3, 10, shape).lr
        assert lr[79] == 3.0 and lr[80] < 3.0 and lr[-1] == pytest.approx(0.3), shape
    lr = schedules.multi_step(100, 3.0, {80: 0.5, 40: 1.0}, warmup=10).lr
    assert (lr[38], lr[39], lr[78], lr[79]) == (3.0, 1.0, 1.0, 0.5)
    lr = schedules.cyclic(110, 3.0, 1.0, 40, warmup=10).lr
    assert (lr[9], lr[29], lr[49]) == pytest.approx((3.0, 1.0, 3.0))
    lr = schedules.inverse_sqrt(400, 3.0, 100).lr
    assert (lr[99], lr[399]) == pytest.approx((3.0, 1.5))


def test_parts_are_joined_end_to_end():
    plan = (schedules.constant(10, 2.0, warmup=4) + schedules.linear(5, 2.0)).then(schedules.constant(6, 1.0, warmup=2))
    assert (len(plan), plan.transfer, plan.warmups) == (21, 15, ((0, 4), (15, 17)))
    np.testing.assert_allclose(plan.lr[13:18], [0.4, 0.0, 0.5, 1.0, 1.0])
    assert "continual pre-training from step 16" in repr(plan) and "peak 2, last 1" in repr(plan)
    longer = plan + schedules.linear(4, 1.0)
    assert longer.transfer == 15 and len(longer) == 25


def test_nothing_can_be_changed():
    plan = schedules.constant(5, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        plan.lr[0] = 3.0
    with pytest.raises(AttributeError):
        plan.transfer = 3  # type: ignore[misc]


def test_an_unknown_pre_training_leaves_the_re_warm_up():
    areas = schedules.unknown().then(schedules.constant(50, 1.0, warmup=10)).areas(memory=0.5)
    assert not areas["S1pt"].any() and not areas["S2pt"].any()
    assert float(areas["S2cpt"][-1]) == pytest.approx(-2.0, rel=1e-6)


def test_a_table_gives_the_schedule_back():
    plan = schedules.cosine(2000, 3e-4, 3e-5, warmup=200)
    at = np.arange(240, 2001, 40)
    read = schedules.from_table(at, plan.lr[at - 1], warmup=200)
    assert len(read) == 2000 and read.warmups == ((0, 200),)
    np.testing.assert_allclose(read.lr, plan.lr, atol=4e-7)
    assert float(abs(read.areas()["S2"] - plan.areas()["S2"]).max()) < 5e-4
    every = schedules.from_table(np.arange(1, 2001), plan.lr)
    np.testing.assert_array_equal(every.lr, plan.lr)
    assert every.warmups == ((0, 200),) and not schedules.from_table([1, 2, 3], [1.0, 2.0, 3.0], warmup=0).warmups
    np.testing.assert_allclose(every.areas()["S2"], plan.areas()["S2"])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: schedules.constant(0, 1.0), "steps is 0"),
        (lambda: schedules.constant(10, 1.0, warmup=10), "from 0 to 9"),
        (lambda: schedules.constant(10, 0.0), "peak is 0"),
        (lambda: schedules.cosine(10, 1.0, final=-0.5), "learning rate is -.* at step"),
        (lambda: schedules.wsd(10, 1.0, 11), "decay is 11: give a number of steps from 1 to 10"),
        (lambda: schedules.wsd(10, 1.0, 5, shape="exponential"), "never reaches 0"),
        (lambda: schedules.multi_step(10, 1.0, {11: 0.5}), "from 1 to 10"),
        (lambda: schedules.cyclic(10, 1.0, 0.5, 0), "period is 0"),
        (lambda: schedules.inverse_sqrt(10, 1.0, 0), "at least 1 step"),
        (lambda: schedules.from_table([1, 5, 5], [1.0, 1.0, 1.0]), "step 5 comes after step 5"),
        (lambda: schedules.from_table([0, 5], [1.0, 1.0]), "first step is 1"),
        (lambda: schedules.from_table([1, 5], [1.0, -1.0]), "-1 at step 5"),
        (lambda: schedules.from_table([1, 5], [1.0, 1.0], warmup=9), "from 0 to 5"),
        (lambda: schedules.from_table([1, 5], [1.0]), "one rate per step"),
        (lambda: Schedule(np.array([])), "one rate per step"),
        (lambda: Schedule(np.array([0.1, np.nan])), "nan at step 2"),
        (lambda: schedules.constant(5, 1.0).areas(memory=1.0), "memory is 1"),
        (lambda: PLANS["wsd"] + PLANS["wsd"].then(PLANS["wsd"]), "transfer point"),
    ],
)
def test_impossible_schedules_are_refused(build, words):
    with pytest.raises(RangeError, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [{"tail": "cut"}, {"warmup_counted": "never"}])
def test_unknown_options_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match=f"choice for {next(iter(option))}="):
        PLANS["wsd"].areas(**option)


def test_an_unknown_shape_is_refused():
    with pytest.raises(UnknownName, match="shape of decay 'lineer'; did you mean 'linear'"):
        schedules.wsd(10, 1.0, 5, shape="lineer")  # type: ignore[arg-type]
