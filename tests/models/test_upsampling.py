"""Upsampling at the end of training: laws, scores at the door, best duration, frontier, and what the prior decides."""

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

import bayeslaw as bl
from bayeslaw import datasets, models
from bayeslaw.checks import prior_decides
from bayeslaw.cli.fitting import model_of
from bayeslaw.decisions import duration_frontier
from bayeslaw.decisions.best_duration import best_duration
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName
from bayeslaw.workflow import Fit
from tests.decisions.test_best_mixture import random_mixing, stand_in, upsampling

ITEMS = {"mmlu": 14042, "gsm8k": 1319, "humaneval": 164, "core": 3000, "language": 3000, "reading": 3000}
WINDOWS = np.array([0.0, 0.05, 0.1, 0.2, 0.3])


def net(whole: Any, tau: Any, c: Any) -> Any:
    """The first tenth's net gain where a window without end would bring `whole`."""
    return np.asarray(whole) * (1 - np.exp(-1 / np.asarray(tau))) - np.asarray(c)


# ---------------------------------------------------------------------------------------------------------------- laws
@pytest.mark.parametrize("law", [models.domain_upsampling, models.domain_upsampling_points])
def test_the_first_tenth_brings_its_net_gain(law):
    at = law(np.array([0.0, 1.0]), a=0.3, g=0.05, tau=0.6, c=0.02)
    score = 1 - at if law is models.domain_upsampling_points else np.log(1 / at - 1)
    np.testing.assert_allclose(score, [0.3, 0.35])


def test_losses_fall_by_the_first_tenths_net_gain():
    loss = models.upsampling_loss(np.array([0.0, 1.0]), L0=1.5, g=0.4, tau=0.05, c=0.02, k=2.0)
    np.testing.assert_allclose(loss, [1.5, 1.5 * np.exp(-0.4)])
    rival = models.saturating_upsampling_loss(1.0, L0=1.5, g=0.4, tau=0.05)
    assert rival == pytest.approx(1.5 * np.exp(-0.4))


def test_points_have_the_least_squares_of_the_published_scores():
    """The facts: in percentage points the best window is 15.6 % for MMLU and 20.0 % for the Core Average."""
    table = datasets.load("upsampling-table6")
    for name, best, rmse in (("mmlu", 0.156, 0.0036), ("core", 0.200, 0.0010)):
        rate = 1 - table[f"{name}_score"].to_numpy()

        def miss(theta, rate=rate):
            return models.domain_upsampling_points(WINDOWS / 0.1, **at(theta)) - rate

        found = least_squares(miss, [1 - rate[0], 0.05, np.log(0.8), np.log(0.01)], xtol=1e-12, ftol=1e-12)
        a = at(found.x)
        whole = (a["g"] + a["c"]) / (1 - np.exp(-1 / a["tau"]))
        assert 0.1 * a["tau"] * np.log(whole / (a["c"] * a["tau"])) == pytest.approx(best, abs=0.002)
        assert np.sqrt(np.mean(found.fun**2)) == pytest.approx(rmse, abs=0.0001)


def at(theta: np.ndarray) -> dict[str, float]:
    return {"a": theta[0], "g": theta[1], "tau": np.exp(theta[2]), "c": np.exp(theta[3])}


# -------------------------------------------------------------------------------------------------- scores at the door
def test_scores_become_error_rates():
    table = pd.DataFrame({"window": [0.0, 0.1], "mmlu_score": [35.0, 43.0], "note": ["a", "b"]})
    runs = bl.read_scores(table, full=100, duration="window")
    assert runs.evals == ("mmlu",) and list(runs.table["duration"]) == [0.0, 0.1]
    np.testing.assert_allclose(runs.table["mmlu_loss"], [0.65, 0.57])
    named = bl.read_scores(
        table.rename(columns={"mmlu_score": "MMLU"}), score={"m": "MMLU"}, full=100, duration="window"
    )
    np.testing.assert_allclose(named.table["m_loss"], [0.65, 0.57])


@pytest.mark.parametrize(
    ("scores", "settings", "sentence"),
    [
        (
            [0.4, 43.0],
            {},
            "mmlu_score is 43 in row 1 .counted from 0.: a score lies above 0 and below 1; divide percentages by 100",
        ),
        ([0.4, -0.1], {}, "mmlu_score is -0.1 in row 1 .counted from 0.: .* correct it or leave the row out"),
        (
            [40.0, 120.0],
            {"full": 100},
            "mmlu_score is 120 in row 1 .counted from 0.: a score lies above 0 and below 100",
        ),
        ([0.4, 1.0], {}, "mmlu_score is 1 in row 1"),
        ([0.4, np.nan], {}, "mmlu_score is missing in row 1"),
        ([0.4, "much"], {}, "mmlu_score is 'much' in row 1 .counted from 0., which is not a number"),
        ([0.4, 0.5], {"score": {"m": "mnlu_score"}}, "no column 'mnlu_score'; did you mean 'mmlu_score'"),
        ([0.4, 0.5], {"full": 0}, "full is 0"),
    ],
)
def test_a_score_outside_its_range_is_refused(scores, settings, sentence):
    table = pd.DataFrame({"duration": [0.0, 0.1], "mmlu_score": scores})
    with pytest.raises((DataError, RangeError, UnknownName), match=sentence) as refused:
        bl.read_scores(table, **settings)
    assert "\n" not in str(refused.value)


def test_the_command_line_reads_scores(tmp_path):
    path = tmp_path / "scores.csv"
    datasets.load("upsampling-table6").to_csv(path, index=False)
    units: dict[str, Any] = {}
    options = (None, None, units, ["tau=eval"], None, None, False, False, None, None, None)
    model = model_of("domain_upsampling", path, *options)
    assert model.runs.evals == tuple(ITEMS) and model.by == {"tau": "eval"}
    path.write_text("duration,mmlu_score\n0,0.4\n0.1,43\n")
    with pytest.raises(DataError, match="mmlu_score is 43 in row 1"):
        model_of("domain_upsampling", path, *options)


def test_a_table_without_scores_is_refused():
    with pytest.raises(DataError, match="no score column"):
        bl.read_scores(pd.DataFrame({"duration": [0.0, 0.1], "mmlu": [0.4, 0.5]}))


def test_the_error_of_measuring_a_score_is_binomial():
    table = pd.DataFrame({"duration": [0.0, 0.1], "a_score": [0.2, 0.3], "b_score": [0.5, 0.6]})
    runs = bl.read_scores(table, items={"a": 400})
    simulated = (1 - np.random.default_rng(0).binomial(400, 0.2, 20_000) / 400).std()
    assert runs.table["a_loss_sd"].iloc[0] == pytest.approx(simulated, rel=0.02)
    assert "b_loss_sd" not in runs.table and (runs.dataset["loss_sd"].sel(eval="b") == 0).all()
    by_row = bl.read_scores(table.assign(a_items=[400, 100], b_items=10_000))
    assert by_row.table["a_loss_sd"].to_numpy() == pytest.approx(np.sqrt([0.16 / 400, 0.21 / 100]))
    assert by_row.table["b_loss_sd"].to_numpy() == pytest.approx(np.sqrt([0.25e-4, 0.24e-4]))


@pytest.mark.parametrize(("items", "sentence"), [({"a": 0}, "a has 0 test items"), ({"c": 9}, "benchmark 'c'")])
def test_impossible_numbers_of_items_are_refused(items, sentence):
    with pytest.raises((DataError, UnknownName), match=sentence):
        bl.read_scores(pd.DataFrame({"duration": [0.0, 0.1], "a_score": [0.2, 0.2]}), items=items)


# ----------------------------------------------------------------------------------------------------------- decisions
def test_the_best_duration_has_a_closed_form():
    rng = np.random.default_rng(6)
    whole, tau, c = (m * np.exp(0.1 * rng.standard_normal((50, 1))) for m in (0.2, 0.7, 0.02))
    r = best_duration(upsampling({"a": np.full((50, 1), 0.6), "g": net(whole, tau, c), "tau": tau, "c": c}))
    expected = 0.1 * tau * np.log(whole / (c * tau))
    assert expected.max() < 0.3
    np.testing.assert_allclose(r.draws[0], expected[:, 0], atol=1e-5)
    assert r.p_interior == 1 and r.inputs["longest"] == 0.3 and r.note == ""


def three() -> dict[str, Any]:
    """Draws in which no window helps, one inside is best, and a longer one still helps."""
    tau, c = [[0.7], [0.7], [5.0]], [[0.02], [0.02], [0.001]]
    return {"a": [[0.6]] * 3, "g": net([[-0.1], [0.2], [0.2]], tau, c), "tau": tau, "c": c}


def test_windows_that_never_help_and_that_help_ever_more_are_counted():
    r = best_duration(upsampling(three()))
    assert (r.p_never, r.p_interior, r.p_always) == pytest.approx((1 / 3,) * 3)
    longer = best_duration(upsampling(three()), longest=1.0)
    assert longer.high == 1.0 and "beyond 0.3 were not tried" in longer.note
    with pytest.raises(RangeError, match="longest"):
        best_duration(upsampling(three()), longest=30)
    with pytest.raises(LawError, match="does not depend on duration"):
        best_duration(stand_in(models.data_mixing, random_mixing()))


def two() -> Fit:
    tau, c = [[0.4, 1.5]], [[0.05, 0.02]]
    return upsampling({"a": [[0.6, 0.4]], "g": net([[0.2, 0.1]], tau, c), "tau": tau, "c": c})


def test_a_weighted_goal_lies_between_the_benchmarks():
    first, second = (float(best_duration(two(), goal=f"set{i}").draws.item()) for i in (0, 1))
    both = float(best_duration(two(), goal={"set0": 1, "set1": 1}).draws.item())
    assert min(first, second) < both < max(first, second)


def test_the_frontier_goes_from_one_best_window_to_the_other():
    r = duration_frontier(two(), target="set1", general="set0", weights=[0.0, 0.5, 1.0])
    ends = [float(best_duration(two(), goal=f"set{i}").draws.item()) for i in (0, 1)]
    found = r.draws[0, 0].values
    np.testing.assert_allclose(found[[0, 2]], ends)
    assert ends[0] < found[1] < ends[1] and r.draws.dims == ("chain", "draw", "weight")
    assert "weight" in r.to_frame() and r.inputs["target"] == "set1"
    for question, error in (
        ({"target": "set1", "general": "set9"}, UnknownName),
        ({"target": "set1", "general": "set1"}, RangeError),
        ({"target": "set1", "general": "set0", "weights": [2.0]}, RangeError),
    ):
        with pytest.raises(error):
            duration_frontier(two(), **question)


def test_the_check_fires_where_priors_move_the_answer():
    rng = np.random.default_rng(0)

    def answer(c: float) -> Any:
        tau, cost = 0.7 * np.exp(0.1 * rng.standard_normal((400, 1))), np.full((400, 1), c)
        draws = {"a": np.full((400, 1), 0.6), "g": net(0.2, tau, cost), "tau": tau, "c": cost}
        return best_duration(upsampling(draws))

    calm: Any = prior_decides({"card": answer(0.02), "other": answer(0.0201)})
    assert calm.passed and calm.value < calm.limit / 10
    moved: Any = prior_decides({"card": answer(0.02), "much": answer(0.06)})
    assert not moved.passed and moved.value > moved.limit
    assert "with the prior much" in moved.text and "measure more windows" in moved.text
    swayed: Any = prior_decides({"inside": answer(0.02), "longer": answer(0.0005)})
    assert not swayed.passed and swayed.value > swayed.limit
    with pytest.raises(RangeError, match="needs two or more single answers"):
        prior_decides({"card": answer(0.02)})


# ------------------------------------------------------------------------------------------------------- real sampling
def test_scores_pooled_over_benchmarks_recover_what_made_them(tmp_path):
    """Simulated: four benchmarks at ten windows, 20,000 items each, one of which upsampling hurts."""
    rng = np.random.default_rng(3)
    window = np.linspace(0, 0.45, 10)
    truth: dict[str, Any] = {
        "a": [-0.5, -1.5, 0.3, 0.0],
        "g": [0.3, 0.4, 0.2, -0.1],
        "tau": 0.8,
        "c": [0.05, 0.04, 0.06, 0.05],
    }
    made = [
        models.domain_upsampling(window / 0.1, a=a, g=g, tau=truth["tau"], c=c)
        for a, g, c in zip(truth["a"], truth["g"], truth["c"], strict=True)
    ]
    scores = {f"b{i}_score": 1 - rng.binomial(20_000, rate) / 20_000 for i, rate in enumerate(made)}
    luck = bl.Noise(sigma=bl.positive(0.0005, spread=0.5))  # simulated runs have none
    runs = bl.read_scores(pd.DataFrame({"duration": window, **scores}), items={f"b{i}": 20_000 for i in range(4)})
    model = bl.Model(
        models.domain_upsampling, runs, by=dict.fromkeys(("g", "tau", "c"), "eval"), noise=luck, misfit=None
    )
    fit = model.fit(draws=300, tune=300, chains=2, seed=1, progress=False)
    assert fit.posterior["g_mu"].dims == ("chain", "draw") and fit.posterior["g"].dims == ("chain", "draw", "eval")
    assert fit.idata["sample_stats"]["diverging"].mean() < 0.01
    loss = fit.predict(duration=window).draws
    z = (loss.mean(["chain", "draw"]) - np.array(made)) / loss.std(["chain", "draw"])
    assert np.sqrt((z**2).mean()) < 1.5
    gains = fit.posterior["g"].quantile([0.005, 0.995], ["chain", "draw"])
    assert ((gains[0] < truth["g"]) & (truth["g"] < gains[1])).all()
    assert float(best_duration(fit, goal="b3").p_never) > 0.9 and float(best_duration(fit, goal="b0").p_interior) == 1
    fit.save(tmp_path / "fit.nc")
    again = bl.load(tmp_path / "fit.nc")
    assert again.model.by == model.by
    np.testing.assert_allclose(best_duration(again).draws, best_duration(fit).draws)


def test_six_benchmarks_of_five_runs_do_not_tie_each_other():
    """Were their correlation free to reach its end, 24 coefficients would meet the sums of five runs exactly."""
    model = bl.Model(models.domain_upsampling, bl.read_scores(datasets.load("upsampling-table6")), misfit=None)
    assert model.noise.joint
    fit = model.fit(draws=150, tune=300, chains=2, seed=1, progress=False)
    assert float(fit.posterior["sigma"].min()) > 1e-4
    assert float(az.rhat(fit.posterior).to_array().max()) < 1.1
