"""The multi-power law: its formula, the falls it takes together, and the fits its authors published."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.errors import RangeError
from bayeslaw.tables.power import POWER, PowerMemory, annealed_power
from bayeslaw.tables.schedules import Schedule
from tests.models.test_held_out_schedules import NEW, PLANS, logs

NAMES = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
PUBLISHED = {
    25: (3.04045406, 0.52468604, 0.50786857, 363.78751622, 2.06560812, 0.58279013, 0.64142257),
    100: (2.6514477, 0.60115152, 0.45295811, 437.9464276, 2.13245612, 0.59785199, 0.65523644),
}
"""Constants of the repository's README; their mean absolute errors on the six new schedules are below."""

ERRORS = {25: 0.00376, 100: 0.00435}

SHAPES = [POWER, PowerMemory(2.07, 0.59, 0.645), PowerMemory(0.5, 0.5, 0.3), PowerMemory(0.006, 0.3, 1.2)]


def one_by_one(lr: np.ndarray, falls: np.ndarray, step: int, power: PowerMemory) -> float:
    """The sum of the paper over every single fall up to a step."""
    at = np.flatnonzero(falls[:step])
    since = np.cumsum(lr)[step - 1] - np.cumsum(lr)[at] + lr[at]
    share = 1 - (1 + power.C * lr[at] ** -power.gamma * since) ** -power.beta
    return float((falls[at] * share).sum())


@pytest.mark.parametrize("power", SHAPES, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_falls_taken_together_lose_less_than_1e_5_nats(name, power):
    plan = PLANS[name]
    steps = np.unique(np.r_[np.arange(2161, len(plan), 1777), 8000, 8001, 8128, len(plan)])
    single = [one_by_one(*plan.counted(), step, power) for step in steps]
    nats = 0.1 / 2.7e-4  # of the published fits at 25M and 100M, for the whole fall of a cosine
    np.testing.assert_allclose(nats * annealed_power(plan, steps, power), nats * np.array(single), atol=1e-5)


def test_a_single_fall_has_its_closed_form():
    plan = schedules.multi_step(3000, 3e-4, {1001: 1e-4})
    share = 1 - (1 + POWER.C * 1e-4**-POWER.gamma * 1e-4 * np.array([1, 2000])) ** -POWER.beta
    np.testing.assert_allclose(annealed_power(plan, np.array([1000, 1001, 3000])), [0, *(2e-4 * share)], rtol=1e-9)


def test_a_rise_counts_against_it_and_the_first_warmup_does_not():
    assert annealed_power(schedules.constant(1000, 1e-3, warmup=100), np.array([50, 1000])) == pytest.approx([0, 0])
    again = schedules.constant(500, 1e-3).then(schedules.constant(500, 2e-3, warmup=50))
    assert annealed_power(again, np.array([500, 1000]))[1] < 0


def test_steps_at_rate_0_change_nothing():
    plan = schedules.linear(1000, 1e-3, warmup=100)
    longer = Schedule(np.r_[plan.lr, np.zeros(500)], plan.warmups)
    at_end = annealed_power(longer, np.array([1000, 1500]))
    assert at_end[1] == pytest.approx(at_end[0], rel=1e-9) and np.isfinite(at_end).all()


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_published_constants_predict_as_published_if_the_warmup_is_counted(size):
    """As the repository has it: steps from 0, the rising warm-up counted as falls below zero. Without, 0.1 nats off."""
    c, curves = dict(zip(NAMES, PUBLISHED[size], strict=True)), logs(size)
    power, errors, warmups = PowerMemory(c["C"], c["beta"], c["gamma"]), [], []
    for name in NEW:
        lr = np.r_[0.0, PLANS[name].lr]
        falls = -np.diff(lr, prepend=0.0)
        step, loss = curves[name]["step"].to_numpy() + 1, curves[name]["loss"].to_numpy()
        base = c["L0"] + c["A"] * np.cumsum(lr)[step - 1] ** -c["alpha"]
        annealed = np.array([one_by_one(lr, falls, s, power) for s in step])
        rising = np.array(
            [one_by_one(lr, np.where(np.arange(len(lr)) <= 2160, falls, 0), s, power) for s in step[::50]]
        )
        errors.append(np.abs(base - c["B"] * annealed - loss).mean())
        warmups += list(-c["B"] * rising)
    assert np.mean(errors) == pytest.approx(ERRORS[size], abs=2e-5)
    assert 0.095 < min(warmups) < max(warmups) < 0.135


def test_paper_units_give_the_same_loss():
    reference = {"S1": 4.0, "annealed_power": 3e-4}
    c = dict(A=0.3, alpha=0.5, B=0.1)
    assert models.multi_power.paper_units
    paper = c | dict(models.multi_power.paper_units(reference, **c))
    ours = models.multi_power(6.0 / 4, 1e-4 / 3e-4, L0=1.8, **c)
    assert ours == pytest.approx(models.multi_power(6.0, 1e-4, L0=1.8, **paper), rel=1e-12)


def test_simulated_constants_are_recovered_with_another_memory():
    """Also: the memory travels with the runs into predictions of other schedules."""
    truth, power = dict(L0=2.9, A=0.5, alpha=0.45, B=0.08), PowerMemory(1.0, 0.5, 0.7)
    plans = {"cosine": PLANS["cosine_24000"], "drop": PLANS["wsdcon_9"], "flat": PLANS["constant_24000"]}
    rows = pd.DataFrame([(run, step, 3.0) for run in plans for step in range(2500, 16_000, 500)])
    rows.columns = pd.Index(["run", "step", "loss"])
    table = bl.read_curves(rows, schedule=plans, power=power, spacing=1).table
    rows["loss"] = models.multi_power(table["S1"], table["annealed_power"] / 2e-4, **truth).to_numpy()
    fit = bl.Model(models.multi_power, bl.read_curves(rows, schedule=plans, power=power), misfit=None).fit(method="mle")
    assert {k: fit.posterior[k].item() for k in truth} == pytest.approx(truth, rel=1e-3)
    new, at = PLANS["wsdld_20000_24000"], np.array([24_000])
    expected = models.multi_power(new.areas()["S1"].values[-1], annealed_power(new, at, power)[0] / 2e-4, **truth)
    assert fit.curve(new, steps=24_000).draws.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("power", [(0, 0.5, 0.5), (1, -1, 0.5), (1, 0.5, np.nan), (1, np.inf, 1)])
def test_a_memory_without_a_shape_is_refused(power):
    with pytest.raises(RangeError, match="of the power memory is .* give a number above 0"):
        PowerMemory(*power)
