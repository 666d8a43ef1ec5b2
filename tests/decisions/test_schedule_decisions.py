"""Decisions on schedules, on made-up posteriors around the constants of figure 3 of arXiv:2505.07796."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName
from bayeslaw.reporting.choices import schedules as schedules_answer
from bayeslaw.tables.schedules import Schedule
from bayeslaw.workflow import Fit

CONSTANTS = {
    "general": dict(L0=3.057, A=0.490, alpha=0.497, E=112, beta=0.189, C_pt=0.0598, C_cpt=0.0596),
    "domain": dict(L0=3.024, A=0.412, alpha=0.677, E=22648, beta=0.146, C_pt=0.0556, C_cpt=0.0648),
}
for name, B in (("general", 0.366), ("domain", -0.666)):
    CONSTANTS[name]["shift"] = B * (1 - (1 + CONSTANTS[name]["E"]) ** -CONSTANTS[name]["beta"])
PEAK = 2e-4
BASE = schedules.constant(40_000, PEAK, warmup=500)
DECAYED = schedules.wsd(40_000, PEAK, 8000, warmup=500)


def made_up(law: Any, constants: Any, runs: Any, spread: float = 0.0) -> Fit:
    """Draws around the constants, a column of coefficients per validation set."""
    rng, evals = np.random.default_rng(0), list(runs.evals)
    coords = {"chain": np.arange(2), "draw": np.arange(50), "eval": evals}
    draws: dict[str, Any] = {
        name: (tuple(coords), [constants[e][name] for e in evals] * np.exp(spread * rng.standard_normal((2, 50, 1))))
        for name in constants[evals[0]]
    }
    draws |= {"sigma": (tuple(coords), np.full((2, 50, len(evals)), 0.002))}
    draws |= {"run_weight": (("chain", "draw"), np.full((2, 50), 0.5))}
    draws |= {"correlation_length": (("chain", "draw"), np.full((2, 50), 0.5))}
    if len(evals) > 1:
        draws["eval_correlation"] = (("chain", "draw"), np.zeros((2, 50)))
    model = bl.Model(law, runs, noise=bl.Noise(correlated=True))
    return Fit(model, xr.DataTree.from_dict({"posterior": xr.Dataset(draws, coords)}), {"method": "nuts"})


def continued(spread: float = 0.0) -> Fit:
    step = np.arange(500, 20_001, 500)
    plans = {"flat": schedules.constant(20_000, PEAK, 200), "fall": schedules.linear(20_000, PEAK, warmup=200)}
    rows = pd.concat(pd.DataFrame({"run": n, "step": step, "general_loss": 3.2, "domain_loss": 2.7}) for n in plans)
    runs = bl.read_curves(rows, schedule=plans, before={"flat": BASE, "fall": DECAYED})
    return made_up(models.cpt_dynamics, CONSTANTS, runs, spread)


def annealed(spread: float = 0.0, final: float = 0.0) -> Fit:
    fall = schedules.linear(20_000, PEAK, final, warmup=500)
    plans = {"flat": schedules.constant(20_000, PEAK, 500), "fall": fall}
    step = np.arange(1000, 20_001, 1000)
    rows = pd.concat(pd.DataFrame({"run": n, "step": step, "loss": 3.0}) for n in plans)
    constants = {"validation": dict(L0=2.6, A=0.43, alpha=0.55, C=0.08)}
    return made_up(models.lr_annealing, constants, bl.read_curves(rows, schedule=plans), spread)


def test_the_critical_point_is_the_closed_form():
    """(A / B)^(1 / alpha): 8,994 steps at 2e-4 in figure 3."""
    answer = continued().critical_point()
    assert answer.median().item() / PEAK == pytest.approx(8994, abs=3) and answer.p_interior == 1
    assert answer.unit == "rate x steps" and answer.inputs["goal"] == {"general": 1.0}
    assert continued().critical_point(goal="domain").p_always == 1  # its loss falls whatever came before


def test_a_report_says_in_steps_when_a_rise_returns_to_its_start():
    """Always, only after short pre-training, never, and what lies between, by made-up posteriors."""

    def said(change: dict[str, Any], where: Any = slice(None)) -> str:
        fit = continued(0.0)
        posterior = fit.posterior
        for name, value in change.items():
            posterior[name][{"draw": where}] = value
        changed = replace(fit, idata=xr.DataTree.from_dict({"posterior": posterior}))
        return schedules_answer(changed).sentences[-1]

    start = "if continual pre-training goes on at a constant rate, a general loss that rose returns to its start "
    only = "only after pre-training of fewer than 8.99 k steps at the rate 0.0002 (these runs: "
    assert said({}).startswith(start + only) and said({}).endswith(" k)") and "probability" not in said({})
    assert said({"shift": -0.1}) == start + "after any pre-training"
    assert said({"A": 1e-6, "shift": 0.5}) == start + "after no pre-training, however short"
    mixed = said({"shift": -0.1}, slice(0, 10))
    assert f"with probability 0.80 {only}" in mixed
    assert mixed.endswith("), or with probability 0.20 after any pre-training")


def test_the_turning_length_is_where_the_loss_is_back():
    fit, flat = continued(), schedules.constant(200_000, PEAK)
    early, late = schedules.constant(5000, PEAK), schedules.constant(20_000, PEAK)
    length = fit.turning_length(flat, before=early)
    steps = int(length.median())
    near = fit.curve(flat, before=early, steps=[steps - 1, steps]).draws.sel(eval="general").mean(["chain", "draw"])
    areas = early.areas().isel(step=-1)
    start = models.cpt_dynamics(areas["S1"], 0.0, 0.001 * areas["S2"] / PEAK, 0.0, **CONSTANTS["general"]).item()
    assert near[1] <= start < near[0] and length.p_interior == 1
    assert fit.turning_length(flat, before=late).p_always == 1
    assert fit.turning_length(flat, before=early, goal="domain").p_never == 1
    weighed = fit.turning_length(flat, before=early, goal={"general": 0.9, "domain": 0.1})
    assert weighed.median() < steps


def test_a_turning_length_beyond_the_runs_says_so():
    fit, flat = continued(), schedules.constant(200_000, PEAK)
    beyond = fit.turning_length(flat, before=schedules.constant(20_000, PEAK)).note
    assert "the schedule up to the answer leaves the range of the runs" in beyond and "S1cpt 40, in the runs" in beyond
    assert "leaves the range" not in fit.turning_length(flat, before=BASE, goal="domain").note


def test_loss_potential_pays_for_the_domain():
    """More of the final rate left gives a lower domain loss, as the paper has it."""
    share = {0.0: 1e-12, 0.5: 1e-4, 1.0: PEAK}
    bases = {k: schedules.wsd(40_000, PEAK, 8000, final, warmup=500) for k, final in share.items()}
    plan = schedules.cosine(10_000, PEAK, warmup=100)
    best = continued(0.001).best_schedule(dict.fromkeys(share, plan), before=bases, goal="domain")
    assert best.recommended == 1.0 and best.mean().diff("candidate").max() < 0
    assert best.p_best.sum() == pytest.approx(1) and best.to_frame()["candidate"].tolist() == [0.0, 0.5, 1.0]


def replayed() -> Fit:
    """The version with replay: the general loss rises late with the share, the domain loss falls early."""
    step = np.arange(500, 20_001, 500)
    rows = [
        pd.DataFrame({"run": f"{s}", "step": step, "domain_share": s, "general_loss": 3.2, "domain_loss": 2.7})
        for s in (0.3, 1.0)
    ]
    flat = schedules.constant(20_000, PEAK, 200)
    runs = bl.read_curves(pd.concat(rows), schedule=flat, before=BASE)
    own = {"general": {"a": -3.2, "b": 0.0}, "domain": {"a": 5.7, "b": 0.0}}
    return made_up(models.cpt_dynamics_replay, {e: c | own[e] for e, c in CONSTANTS.items()}, runs, 0.0)


def peaks() -> dict[float, Schedule]:
    return {peak: schedules.cosine(10_000, peak, warmup=100) for peak in (2e-5, 1e-4, PEAK)}


def test_peak_length_and_share_follow_the_weights_of_the_goal():
    """As in figure 8 of arXiv:2505.07796: all of it for the new corpus alone, little for the old, replay for both."""
    fit, plan, shares = replayed(), schedules.cosine(10_000, PEAK, warmup=100), (0.1, 0.5, 1.0)
    families: list[tuple[Any, Any]] = [
        (peaks(), 1.0),
        ({steps: schedules.cosine(steps, PEAK, warmup=100) for steps in (2000, 10_000, 20_000)}, 1.0),
        (dict.fromkeys(shares, plan), {s: s for s in shares}),
    ]
    for candidates, domain_share in families:
        chosen = [
            fit.best_schedule(
                candidates, before=BASE, goal={"general": w, "domain": 1 - w}, change=True, domain_share=domain_share
            ).recommended
            for w in (0.0, 0.5, 1.0)
        ]
        first, *_, last = candidates
        assert (chosen[0], chosen[2]) == (last, first)
    assert chosen[1] == 0.5


def test_a_change_is_counted_from_the_end_of_the_own_pretraining():
    """A loss potential of 1 ends lower and so has changed more: eq. (5) adds what it had not annealed to its gain."""
    fit, plan = continued(0.001), schedules.cosine(10_000, PEAK, warmup=100)
    bases = {"decayed": DECAYED, "not": BASE}
    both = dict.fromkeys(bases, plan)
    loss, change = (fit.best_schedule(both, before=bases, goal="general", change=c) for c in (False, True))
    start = {
        k: fit.curve(plan, steps=[1], before=base).draws.sel(eval="general").isel(step=0) for k, base in bases.items()
    }
    for k in bases:  # a step of 2e-6 moves next to nothing
        gained = loss.draws.sel(candidate=k) - start[k]
        np.testing.assert_allclose(change.draws.sel(candidate=k), gained, atol=1e-3)
    assert change.name == "change_of_loss" and loss.name == "final_loss"
    lead = float((change.mean() - loss.mean()).diff("candidate").item())
    assert lead == pytest.approx(float((start["decayed"] - start["not"]).mean()), abs=1e-3) and lead < -0.04
    by_loss, by_change = (
        fit.best_schedule(peaks(), before=BASE, goal="general", change=c).p_best for c in (False, True)
    )
    np.testing.assert_allclose(by_loss, by_change)
    with pytest.raises(DataError, match="give before="):
        annealed().best_schedule(both, change=True)


def test_candidates_are_ranked_by_every_draw():
    fit = annealed(0.02)
    candidates = {
        "decay late": schedules.wsd(20_000, PEAK, 2000, warmup=500),
        "decay long": schedules.wsd(20_000, PEAK, 8000, warmup=500),
        "never": schedules.constant(20_000, PEAK, 500),
    }
    best = fit.best_schedule(candidates)
    exact = fit.curve(candidates["decay long"], steps=20_000).draws.isel(step=0, eval=0)
    np.testing.assert_allclose(best.draws.sel(candidate="decay long"), exact)
    assert best.recommended == "decay long" and float(best.p_best.sel(candidate="never")) < 0.01
    order = best.p_order.sel(candidate="decay long", other="never")
    assert order > 0.99 and best.p_order.sel(candidate="never", other="never") == 0
    assert "p_best" in repr(best) and best.note == ""
    alone = fit.best_schedule(candidates, new_run=True)
    assert alone.what == "new run" and alone.p_best.max() < best.p_best.max()


def test_what_the_law_rewards_without_reason_is_said():
    ended = schedules.linear(15_000, PEAK, warmup=500)
    candidates = {
        "ended": ended,
        "twice": schedules.linear(15_000, 2 * PEAK, warmup=500),
        "idle": ended + schedules.Schedule(np.zeros(5000)),
    }
    best = annealed().best_schedule(candidates)
    assert (best.mean().sel(candidate=["twice", "idle"]) < best.mean().sel(candidate="ended")).all()
    note = best.note
    assert "ended" not in note
    assert "twice leaves the range of the runs (a peak rate of 0.0004, above the 0.0002" in note
    assert "idle leaves the range of the runs (5001 steps at rate 0" in note
    to_a_tenth, to_zero = (schedules.linear(18_000, PEAK, end, warmup=500) for end in (PEAK / 10, 0.0))
    some = annealed(final=PEAK / 10)
    assert "the schedule leaves the range of the runs (a rate of 0, below the lowest of the runs, 2e-5" in (
        some.curve(to_zero).note
    )
    assert "rate of" not in some.curve(to_a_tenth).note + annealed().curve(to_zero).note
    longer = annealed().curve(schedules.constant(72_000, PEAK, 500))
    assert "S1 14.4, in the runs 0.1" in longer.note


def test_a_curve_has_a_band_for_the_law_and_a_wider_one_for_a_run():
    fit, plan = annealed(0.01), schedules.cosine(20_000, PEAK, warmup=500)
    law, run = (fit.curve(plan, new_run=new) for new in (False, True))
    assert law.draws.dims == ("chain", "draw", "eval", "step") and int(law.draws["step"][-1]) == 20_000
    assert law.draws["step"][0] == 501 and (run.sd() > law.sd()).mean() > 0.9
    within = (run.draws / law.draws - 1).isel(eval=0).stack(sample=("chain", "draw"))
    assert np.corrcoef(within.isel(step=[-1, -2]))[0, 1] > 0.8  # its errors are one run's


def test_questions_that_make_no_sense():
    fit, plan = annealed(), schedules.constant(20_000, PEAK, 500)
    with pytest.raises(RangeError, match="at least two candidates"):
        fit.best_schedule({"a": plan})
    with pytest.raises(LawError, match="lr_annealing does not depend on S1cpt: .* such as cpt_dynamics"):
        fit.turning_length(plan, before=plan)
    with pytest.raises(LawError, match="does not depend on S1cpt"):
        fit.critical_point()
    with pytest.raises(UnknownName, match="validation set 'domain'"):
        fit.best_schedule({"a": plan, "b": plan}, goal="domain")
    with pytest.raises(DataError, match="ends at step 20000 and its log goes on to step 20001"):
        fit.curve(plan, steps=[1, 20_001])
    with pytest.raises(DataError, match="before="):
        continued().curve(plan)
    with pytest.raises(DataError, match="before has nothing for the candidate 'b'"):
        continued().best_schedule({"a": plan, "b": plan}, before={"a": BASE})
    rows = pd.DataFrame({"N": [1e8, 1e9, 1e9], "D": [1e9, 1e9, 1e10], "loss": 3.0})
    other = made_up(models.chinchilla, {"validation": {"E": 1.0}}, bl.read_runs(rows))
    with pytest.raises(LawError, match="chinchilla has no schedule"):
        other.curve(plan)


def test_a_size_that_is_a_label_may_be_a_whole_number():
    plans = {"a": schedules.constant(2000, PEAK, 100), "b": schedules.linear(2000, PEAK, warmup=100)}
    rows = pd.concat(pd.DataFrame({"run": n, "step": [1000, 2000], "N": 1e8, "loss": 3.0}) for n in plans)
    model = bl.Model(models.lr_annealing, bl.read_curves(rows, schedule=plans), by={"L0": "N"})
    fit = Fit(model, xr.DataTree.from_dict({"posterior": xr.Dataset()}))
    assert fit.columns(S1=1.0, annealed=0.0, N=100_000_000)["N"] == 1e8
    with pytest.raises(UnknownName, match="no N"):
        fit.columns(S1=1.0, annealed=0.0, N=200_000_000)
