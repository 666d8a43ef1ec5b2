"""Figures, on made-up posteriors: axes, labels, and what was drawn where."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import LawError, RangeError, UnknownName
from bayeslaw.plots import plot_along, plot_curve, plot_mixture, plot_regret, plot_shares, plot_turning_point
from tests.decisions.test_best_mixture import nested, random_mixing, stand_in, upsampling
from tests.decisions.test_schedule_decisions import annealed, made_up
from tests.stand_ins import stand_in as made_up_sizes


@pytest.fixture
def ax():
    return Figure().subplots()


def duration():
    rng = np.random.default_rng(0)
    middles = {"a": -0.4, "g": 0.13, "tau": 0.7, "c": 0.02}
    return upsampling({k: v * np.exp(0.1 * rng.standard_normal((50, 1))) for k, v in middles.items()})


def turning():
    middles = {"L_start": 2.5, "h": 0.02, "p": 1.5, "s": 0.5, "odds_ref": 0.6, "kappa": 1.1}
    rows = pd.MultiIndex.from_product([[0.2, 0.3, 0.5], [1e9, 5e9, 2e10, 6e10]], names=["domain_share", "D"])
    runs = bl.read_runs(rows.to_frame(index=False).assign(general_loss=2.5))
    return made_up(models.cmr_general, {"general": middles}, runs, 0.05)


def test_a_curve_has_its_rate_above():
    fit = annealed(0.01)
    above, below = plot_curve(fit, "fall", Figure().subplots(2, sharex=True))
    assert (above.get_ylabel(), below.get_xlabel(), below.get_ylabel()) == ("rate", "step", "loss (nats per token)")
    step, rate = above.lines[0].get_data()
    rows = fit.model.runs.table.query("run == 'fall'")
    np.testing.assert_allclose(rate, rows["lr"])
    np.testing.assert_array_equal(step, below.lines[0].get_xdata())
    assert len(below.collections[-1].get_offsets()) == len(rows)
    expected = fit.predict(**{c: rows[c].iloc[-1] for c in fit.model.law.columns}).median().item()
    assert below.lines[0].get_ydata()[-1] == pytest.approx(expected)


def test_a_curve_that_was_not_fitted():
    fit = annealed(0.01)
    step = np.arange(1000, 20_001, 1000)
    plan = bl.schedules.cosine(20_000, 2e-4, warmup=500)
    held_out = bl.read_curves(pd.DataFrame({"run": "new", "step": step, "loss": 3.0}), schedule=plan)
    above, below = plot_curve(fit, "new", Figure().subplots(2), runs=held_out, new_run=True)
    assert "a new run" in above.get_title(loc="left") and len(below.lines[0].get_xdata()) == 20
    assert (below.collections[-1].get_facecolors() == 1).all()  # hollow: not fitted
    above, below = plot_curve(fit, "new", Figure().subplots(2), runs=held_out, schedule=plan)
    np.testing.assert_array_equal(above.lines[0].get_ydata(), plan.lr)
    expected = fit.curve(plan, steps=20_000).median().item()
    assert below.lines[0].get_ydata()[-1] == pytest.approx(expected)
    with pytest.raises(UnknownName, match="validation set 'domain'"):
        plot_curve(fit, "new", runs=held_out, goal="domain")
    with pytest.raises(UnknownName, match="run 'new'"):
        plot_curve(fit, "new")
    with pytest.raises(LawError, match="no schedule"):
        plot_curve(duration(), "a")


def test_loss_along_a_column_with_the_best_place(ax):
    fit = duration()
    best = fit.best_duration()
    assert plot_along(fit, "duration", ax, best=best) is ax
    line, place = (np.asarray(drawn.get_xdata()) for drawn in ax.lines)
    assert place[0] == pytest.approx(best.median().item())
    assert (line[0], line[-1]) == (0.0, 0.3)
    assert ax.get_xlabel() == "upsampled window (share of the training)"
    assert np.shape(ax.collections[1].get_offsets()) == (4, 2)
    assert ax.get_legend_handles_labels()[1][0] == "set0 loss"
    with pytest.raises(UnknownName, match="'durations'"):
        plot_along(fit, "durations", ax)


def test_the_turning_point_is_the_peak(ax):
    fit = turning()
    plot_turning_point(fit, ax=ax, domain_share=0.3)
    tokens = 2e10 * (0.3 / 0.7 / 0.6) ** (1 / 1.1)
    assert ax.get_xscale() == "log" and ax.lines[1].get_xdata()[0] == pytest.approx(tokens, rel=0.1)
    assert "turning point" in ax.get_legend_handles_labels()[1][1]
    with pytest.raises(UnknownName, match="'domain'"):
        plot_turning_point(fit, ax=ax, goal="domain", domain_share=0.3)


def test_loss_against_share_with_the_critical_ratio(ax):
    fit = turning()
    ratio = fit.critical_ratio(D=2e10, rule="turning-point")
    plot_shares(fit, D=2e10, ax=ax, ratio=ratio)
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(ratio.median().item())


@pytest.mark.parametrize("source", [3, 5])
def test_best_mixture(ax, source):
    best = stand_in(models.data_mixing, random_mixing(source=source)).best_mixture()
    assert plot_mixture(best, ax) is ax
    if source == 3:
        drawn = np.asarray(ax.collections[0].get_offsets())
        shares = best.draws.values.reshape(-1, 3)
        np.testing.assert_allclose(drawn[:, 1], shares[:, 2] * np.sqrt(3) / 2)
        np.testing.assert_allclose(drawn[:, 0], shares[:, 1] + shares[:, 2] / 2)
        assert {"s0", "s1", "s2"} <= {text.get_text().split("\n")[0] for text in ax.texts}
    else:
        assert [bar.get_width() for bar in ax.patches if isinstance(bar, Rectangle)] == sorted(
            best.recommended.values, reverse=True
        )
        assert ax.get_xlabel() == "share of the tokens" and len(ax.get_yticklabels()) == source


def test_a_mixture_for_several_sizes_is_refused():
    with pytest.raises(RangeError, match="one mixture for every N"):
        plot_mixture(nested().best_mixture(N=[1e8, 1e9], D=1e10))


def test_regret(ax):
    best = stand_in(models.data_mixing, random_mixing()).best_mixture()
    even = dict.fromkeys(["s0", "s1", "s2", "s3"], 0.25)
    plot_regret(best, {"even": even}, ax)
    assert ax.get_xlabel() == "regret (nats per token)"
    names = ax.get_legend_handles_labels()[1]
    assert [name.split(":")[0] for name in names] == ["recommended", "even"]
    assert ax.lines[3].get_xdata()[0] == pytest.approx(float(best.regret(even).draws.mean()))


def test_the_next_run_lies_over_the_runs_made_so_far(ax, table_for):
    fit = made_up_sizes(models.dcpt, table_for, draws=100)
    plans = {"N": [1e8, 1e9, 1e10], "D": [1e10], "domain_share": [0.2, 0.5, 0.8]}
    found = fit.next_runs("loss", candidates=plans, batch=2, N=2e10, D=1e11, domain_share=0.5)
    assert found.plot(ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("domain share (of the tokens)", "N (parameters)")
    places = {tuple(p) for p in ax.collections[0].get_offsets()}
    assert places == {(share, N) for share in plans["domain_share"] for N in plans["N"]}
    assert [t.get_text() for t in ax.texts] == [str(n + 1) for n in range(len(found.chosen))] and ax.texts
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), found.runs["domain_share"])
