"""Laws over training curves: published fits repeated, printed constants recovered, real runs predicted.

The losses of `SCRIPT` are those bundled with the script of arXiv:2408.11029; tables that are not part of the package
are read from beside the checkout (see conftest.py).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.curves import curve_columns
from bayeslaw.fit import Fit
from bayeslaw.runs import Runs

SCRIPT = {
    "cosine": "3.6696358 3.3254106 3.1908393 3.1158533 3.0604768 3.020384 2.9880967 2.9612265 2.9395165 2.9195616 "
    "2.9030452 2.8881907 2.8767889 2.8654318 2.8565135 2.8489892 2.843639 2.8398669 2.8380618 2.8376071",
    "constant": "3.6714418 3.325626 3.1884103 3.111947 3.058354 3.0211415 2.9874816 2.96082 2.9406552 2.9241402 "
    "2.9054413 2.8942103 2.8807929 2.8702695 2.862175 2.8530996 2.8448784 2.8383856 2.8326995 2.8294308",
}
FIGURE_3 = {
    "general": dict(L0=3.057, A=0.490, alpha=0.497, B=0.366, E=28, beta=0.189, C_pt=0.299, C_cpt=0.298),
    "domain": dict(L0=3.024, A=0.412, alpha=0.677, B=-0.666, E=5662, beta=0.146, C_pt=0.278, C_cpt=0.324),
}


def value(fit: Fit, name: str, **at: str) -> float:
    return fit.posterior[name].squeeze(["chain", "draw"]).sel(at).item()


def predicted(fit: Fit, rows: pd.DataFrame) -> xr.DataArray:
    """Losses by (eval, row)."""
    columns = xr.Dataset({c: ("row", rows[c].to_numpy()) for c in fit.model.law.columns})
    return fit.loss(columns).squeeze(["chain", "draw"])


# ------------------------------------------------------------------------------------------------------------ annealing
def test_the_fit_of_the_published_script():
    """Refit of its 40 losses with its own objective: L0 2.628, A .430, C .411, alpha .550."""
    parts = [
        pd.DataFrame({"run": run, "step": np.arange(1000, 20_001, 1000), "loss": [float(x) for x in losses.split()]})
        for run, losses in SCRIPT.items()
    ]
    plans = {"cosine": schedules.cosine(20_000, 2e-4, warmup=500), "constant": schedules.constant(20_000, 2e-4, 500)}
    runs = bl.read_curves(pd.concat(parts), schedule=plans, warmup_counted="peak")
    fit = bl.Model(models.lr_annealing, runs).fit(method="mle")
    C = value(fit, "C", eval="validation") / 2e-4 * (1 - schedules.MEMORY)
    found = {name: value(fit, name, eval="validation") for name in ("L0", "A", "alpha")}
    assert found | {"C": C} == pytest.approx({"L0": 2.628, "A": 0.430, "alpha": 0.550, "C": 0.411}, rel=0.01)


def test_the_law_with_size_is_the_law_at_every_size():
    base = dict(L0=1.8, A=0.5, alpha=0.5)
    size = dict(B=1.2, beta=0.2, C=0.06, gamma=0.2)
    at = models.lr_annealing_size(3.0, 0.7, 5.0, **base, **size)
    same = base | {"L0": 1.8 + 1.2 * 5**-0.2, "C": 0.06 * 5**0.2}
    assert at == pytest.approx(models.lr_annealing(3.0, 0.7, **same), rel=1e-12)


def test_paper_units_of_the_annealing_laws_give_the_same_loss():
    reference = {"S1": 4.0, "annealed": 3e-4, "N": 3e8}
    c = dict(A=0.3, alpha=0.5, B=1.1, beta=0.25, C=0.07, gamma=0.2)
    assert models.lr_annealing_size.paper_units
    paper = c | dict(models.lr_annealing_size.paper_units(reference, **c))
    ours = models.lr_annealing_size(6.0 / 4, 1e-4 / 3e-4, 1e9 / 3e8, L0=1.8, **c)
    assert ours == pytest.approx(models.lr_annealing_size(6.0, 1e-4, 1e9, L0=1.8, **paper), rel=1e-12)


@pytest.mark.parametrize("law", [models.lr_annealing, models.multi_power], ids=lambda law: law.name)
def test_the_checks_look_at_the_parts_of_simulated_curves(law):
    plans = {"cosine": schedules.cosine(8000, 3e-4, 3e-5, warmup=500), "flat": schedules.constant(8000, 3e-4, 500)}
    rows = pd.DataFrame(
        {"run": np.repeat(list(plans), 15), "step": np.tile(np.arange(1000, 8001, 500), 2), "loss": 3.0}
    )
    table = bl.read_curves(rows, schedule=plans).table
    off = np.where((table["run"] == "flat") & (table["step"] == 8000), 0.05, 0.0)
    noise = np.random.default_rng(0).normal(0, 0.001, len(rows))
    rows["loss"] = (2.7 + 0.5 * table["S1"] ** -0.5 - 400 * table["annealed"]) * np.exp(off + noise)
    fit = bl.Model(law, bl.read_curves(rows, schedule=plans)).fit(draws=60, tune=100, chains=2, seed=1, progress=False)
    (found,) = [check for check in fit.checks() if check.name == "misfit by group"]
    assert "of the runs" in found.text or "in between" in found.text


# --------------------------------------------------------------------------------------------------------- CPT dynamics
def printed(rows: pd.DataFrame, c: Mapping[str, float]) -> Any:
    """Equation (4) of arXiv:2505.07796 as printed."""
    annealing = c["C_pt"] * rows["S2pt"] + c["C_cpt"] * rows["S2cpt"]
    shift = c["B"] * (1 - (1 + c["E"] * rows["S1cpt"]) ** -c["beta"])
    return c["L0"] + c["A"] * rows["S1"] ** -c["alpha"] - annealing + shift


def simulated() -> tuple[Runs, pd.DataFrame, dict[str, Any]]:
    """Simulate the paper's settings from the constants of figure 3, errors 0.001, both losses.

    Returns two runs of pre-training and eleven that continue one; the rows of two more; and how all were scheduled.
    """
    first = {
        "early": schedules.constant(10_000, 2e-4, warmup=500),
        "flat": schedules.constant(40_000, 2e-4, warmup=500),
        "half": schedules.wsd(40_000, 2e-4, 8000, 1e-4, warmup=500),
        "done": schedules.wsd(40_000, 2e-4, 8000, warmup=500),
    }
    then = {
        "constant": schedules.constant(20_000, 2e-4, warmup=200),
        "cosine": schedules.cosine(20_000, 2e-4, warmup=200),
        "wsd": schedules.wsd(20_000, 2e-4, 4000, warmup=200),
        "low": schedules.linear(20_000, 1e-4, warmup=200),
    }
    runs = {f"{a} {b}": (first[a], then[b]) for a in first for b in ("constant", "cosine", "wsd")}
    runs["half low"] = (first["half"], then["low"])
    plans: dict[str, Any] = {name: own for name, (_, own) in runs.items()}
    before: dict[str, Any] = {name: base for name, (base, _) in runs.items()}
    step = np.r_[100, 200, 400, 700, np.arange(1000, 20_001, 500)]
    parts = [pd.DataFrame({"run": name, "step": step, "loss": 3.0}) for name in runs]
    for name in ("flat", "done"):
        parts.append(pd.DataFrame({"run": name, "step": np.arange(1000, 40_001, 1000), "loss": 3.0}))
        plans[name], before[name] = first[name], None
    scheduled: dict[str, Any] = {"schedule": plans, "before": before}
    table = bl.read_curves(pd.concat(parts), **scheduled).table.drop(columns="validation_loss")
    rng = np.random.default_rng(0)
    for name, c in FIGURE_3.items():
        table[f"{name}_loss"] = printed(table, c) * np.exp(rng.normal(0, 0.001, len(table)))
    held_out = table["run"].isin(["half low", "done wsd"])
    known = Runs(table[~held_out].reset_index(drop=True), ("general", "domain"), table[:0])
    return known, table[held_out].reset_index(drop=True), scheduled


@pytest.fixture(scope="module")
def paper_setting() -> tuple[Fit, pd.DataFrame]:
    """Maximum likelihood of the simulated runs, and the rows that were left out."""
    known, held_out, _ = simulated()
    return bl.Model(models.cpt_dynamics, known).fit(method="mle"), held_out


@pytest.mark.parametrize("name", FIGURE_3)
def test_printed_constants_are_recovered(paper_setting, name):
    fit, _ = paper_setting
    c = FIGURE_3[name]
    per_rate = 2e-4 / (1 - schedules.MEMORY)
    expected = {k: c[k] for k in ("L0", "A", "alpha")} | {k: c[k] * per_rate for k in ("C_pt", "C_cpt")}
    expected["shift"] = c["B"] * (1 - (1 + 4 * c["E"]) ** -c["beta"])
    assert {k: value(fit, k, eval=name) for k in expected} == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", FIGURE_3)
def test_schedules_that_were_left_out_are_predicted(paper_setting, name):
    fit, rows = paper_setting
    found = predicted(fit, rows).sel(eval=name).values
    np.testing.assert_allclose(found, printed(rows, FIGURE_3[name]), atol=0.002)


def coefficients(c: Mapping[str, float]) -> dict[str, float]:
    """Printed constants in the law's coordinates."""
    shift = c["B"] * (1 - (1 + 4 * c["E"]) ** -c["beta"])
    per_rate = 2e-4 / (1 - schedules.MEMORY)
    amplitudes = {"C_pt": c["C_pt"] * per_rate, "C_cpt": c["C_cpt"] * per_rate}
    return {**{k: c[k] for k in ("L0", "A", "alpha", "beta")}, "E": 4 * c["E"], "shift": shift, **amplitudes}


def test_the_law_is_the_printed_equation():
    rows = pd.DataFrame({"S1": [8.0, 9.5], "S1cpt": [0.01, 1.5], "S2pt": 0.15, "S2cpt": [-0.1, 0.1]})
    for c in FIGURE_3.values():
        inputs = (rows["S1"], rows["S1cpt"] / 4, *(0.001 * rows[s] / 2e-4 for s in ("S2pt", "S2cpt")))
        np.testing.assert_allclose(models.cpt_dynamics(*inputs, **coefficients(c)), printed(rows, c), rtol=1e-12)
        units = models.cpt_dynamics.paper_units
        assert units
        paper = units(models.cpt_dynamics.reference(), **{k: v for k, v in coefficients(c).items() if k != "L0"})
        assert paper == pytest.approx(
            {k: c[k] for k in ("A", "B", "E")} | {k: c[k] / 0.001 for k in ("C_pt", "C_cpt")}, rel=1e-9
        )


def test_the_critical_point_has_its_closed_form():
    """From S1pt = (A / B)^(1 / alpha) on the old corpus' loss does not come back: 8,994 steps at 2e-4 in figure 3."""
    c = coefficients(FIGURE_3["general"])
    critical = (0.490 / 0.366) ** (1 / 0.497)
    assert critical / 2e-4 == pytest.approx(8994, abs=3)

    def gain(S1pt: float, S1cpt: float) -> float:
        end, start = (models.cpt_dynamics(S1pt + s, s / 4, 0.0, 0.0, **c) for s in (S1cpt, 0.0))
        return float(end - start)

    assert gain(0.99 * critical, 1e13) < 0 < gain(1.01 * critical, 1e13)
    turning = brentq(lambda s: gain(1.0, s), 1e-3, 1e6)
    assert gain(1.0, turning / 2) > 0 > gain(1.0, 2 * turning)


def test_replay_dilutes_the_shift_as_the_papers_fits_do():
    """Shift at S1cpt = 4 for replay of 0, 33, 50, 67 % by figures 3 and 12; the printed factors miss it by far."""
    c = coefficients(FIGURE_3["general"]) | {"b": 0.0}

    def left(share: Any, a: float) -> Any:
        base = c["L0"] + c["A"]
        return (models.cpt_dynamics_replay(1.0, 1.0, 0.0, 0.0, share, **c, a=a) - base) / c["shift"]

    for measured, a in (([0.216, 0.066, 0.042, 0.024], -3.2), ([0.512, 0.482, 0.460, 0.431], 5.7)):
        ratio = np.array(measured) / measured[0]
        np.testing.assert_allclose(left(np.array([1.0, 0.67, 0.5, 0.33]), a), ratio, atol=0.05)
    assert left(0.3, 0.0) == pytest.approx(0.3, abs=1e-6)
    assert left(0.0, 2.0) == pytest.approx(0.0) and left(1.0, -2.0) == pytest.approx(1.0)


def test_the_versions_agree_where_they_meet():
    c = coefficients(FIGURE_3["general"])
    plain = models.cpt_dynamics(9.0, 0.4, 0.5, 0.3, **c)
    assert models.cpt_dynamics_replay(9.0, 0.4, 0.5, 0.3, 1.0, **c, a=-3.0, b=0.0) == pytest.approx(plain, rel=1e-12)
    size = dict(gamma_pt=0.2, gamma_cpt=0.1, delta=0.2)
    assert models.cpt_dynamics_size(9.0, 0.4, 0.5, 0.3, 1.0, **c | {"L0": 2.057}, F=1.0, **size) == pytest.approx(plain)
    open_model = {k: v for k, v in c.items() if k != "C_pt"} | {
        "A": 0.490 * 4**-0.497,
        "S1pt": (9.0 - 1.6) / 4,
        "L0": 3.057 - c["C_pt"] * 0.5,
    }
    assert models.cpt_dynamics_open(0.4, 0.3, **open_model) == pytest.approx(plain, rel=1e-12)


def test_out_of_domain_losses_are_the_papers_combination():
    """StackExchange in figure 9: 1.853 L_domain - 0.546 L_general."""
    found = models.cpt_out_of_domain(3.1, 2.9, w_all=1.853 - 0.546, w_domain=1.853)
    assert found == pytest.approx(1.853 * 2.9 - 0.546 * 3.1)


def test_cpt_dynamics_predict_later_steps_and_another_share_of_real_runs(pythia):
    """Fitted to steps 1k to 7k at four shares. The schedule is not published: cosine to a tenth of 1e-3 is assumed."""
    table, held_out = pythia
    early = (table["step"] <= 7000).to_numpy()
    settings: dict[str, Any] = {
        "schedule": schedules.cosine(10_000, 1e-3, 1e-4, warmup=100),
        "before": schedules.constant(20_000, 1e-3, warmup=1430),
    }
    runs = bl.read_curves(table[early & ~held_out], **settings)
    fit = bl.Model(models.cpt_dynamics_replay, runs).fit(method="mle")
    found = predicted(fit, curve_columns(table.drop(columns=["general_loss", "domain_loss"]), runs, **settings))
    for name, limit in (("general", 0.004), ("domain", 0.002)):
        error = found.sel(eval=name).values - table[f"{name}_loss"].to_numpy()
        assert np.abs(error[~early & ~held_out]).mean() < limit
        assert np.abs(error[held_out]).mean() < limit
        assert abs(error[held_out][-1]) < 0.003
    bend = found.sel(eval="general").values[table["domain_share"] == 0.875]
    assert bend.argmax() in (3, 4, 5) and bend[-1] < bend.max() - 0.002


def test_a_held_out_schedule_of_tiny_runs_depends_on_the_memory():
    """Real runs of 1,500 steps, four schedules fitted, wsd predicted: a memory of 1,000 steps is too long for them."""
    table = bl.datasets.load("tinycpt")
    table = table[(table["set"] == "sched") & (table["step"] >= 100)]
    plans = {
        "constant": schedules.constant(1500, 2e-3, warmup=50),
        "wsd": schedules.wsd(1500, 2e-3, 290, 2e-4, warmup=50),
        "multistep": schedules.multi_step(1500, 2e-3, {921: 6.32e-4, 1283: 2e-4}, warmup=50),
        "twostage": schedules.multi_step(1500, 2e-3, {776: 6e-4}, warmup=50),
        "const_low": schedules.multi_step(1500, 2e-3, {51: 6e-4}, warmup=50),
    }
    plan = {run: plans[name] for run, name in zip(table["run"], table["schedule"], strict=True)}
    settings: dict[str, Any] = {"schedule": plan, "before": schedules.constant(4000, 2e-3, warmup=50)}
    wsd = table["schedule"] == "wsd"
    at_end = {}
    for memory in (0.98, 0.999):
        runs = bl.read_curves(table[~wsd], memory=memory, **settings)
        reference = {"annealed_pt": 2e-3, "annealed_cpt": 2e-3}
        fit = bl.Model(models.cpt_dynamics, runs, reference=reference).fit(method="mle")
        last = predicted(fit, curve_columns(table[wsd], runs, **settings)).isel(row=-1)
        at_end[memory] = max(
            abs(float(last.sel(eval=e)) - table[wsd][f"{e}_loss"].iloc[-1]) for e in ("general", "domain")
        )
    assert at_end[0.98] < 0.02 < 0.05 < at_end[0.999]  # replicates differ by 0.01; the decay takes 0.15
