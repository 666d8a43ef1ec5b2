"""The machinery of the page: rivals that do what they say, populations that are found again, targets counted."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from tests.stand_ins import stand_in
from tests.studies import beyond, rivals, slopes
from tests.studies.kept_out import MODELS, TOKENS, Case, Study, cases
from tests.studies.refits import LeastSquares

TRUTH = {"E": 1.8, "A": 0.36, "alpha": 0.35, "B": 0.42, "beta": 0.36}


def model(sd: float) -> bl.Model:
    """Simulate 42 runs of the Chinchilla law: seven sizes, six token counts."""
    N, D = (np.ravel(x) for x in np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 6)))
    loss = TRUTH["E"] + TRUTH["A"] * (N / 1e9) ** -TRUTH["alpha"] + TRUTH["B"] * (D / 1e10) ** -TRUTH["beta"]
    loss *= np.exp(np.random.default_rng(0).normal(0, sd, len(N)))
    return bl.Model(models.chinchilla, bl.read_runs(pd.DataFrame({"N": N, "D": D, "loss": loss})), misfit=None)


def kept_out(sd: float) -> list[Case]:
    return list(cases(Study("simulated", "simulated", lambda: model(sd), (MODELS, TOKENS))))


def test_what_is_kept_out_lies_beyond_what_is_fitted():
    found = kept_out(0.003)
    assert [case.axis.name for case in found] == ["larger models"] * 2 + ["more tokens"] * 2
    for case in found:
        assert (case.factor > 1).all() and len(case.factor) == case.held.measured.sum()
        assert len(case.model.runs) + len(case.factor) == 42
        largest = case.model.runs.table[case.axis.scale].max()
        np.testing.assert_allclose(case.held.rows[case.axis.scale].values, case.factor * largest)


def test_least_squares_by_hand_is_the_law_and_its_optimum():
    case = kept_out(0.003)[1]
    fit = case.model.fit(method="mle", seed=1, progress=False)
    by_hand = LeastSquares(fit)
    law = np.log(fit.loss(case.held.rows[["N", "D"]]).values.ravel())
    np.testing.assert_allclose(by_hand.predict(by_hand.start[None], case.held)[:, 0], law, rtol=1e-10)
    every = np.arange(len(case.model.runs))
    np.testing.assert_allclose(by_hand.predict(by_hand.refit(every)[None], case.held)[:, 0], law, atol=3e-4)


@pytest.mark.parametrize("law", [models.dcpt, models.data_mixing], ids=lambda law: law.name)
def test_least_squares_by_hand_knows_validation_sets_and_sources(law, table_for):
    fit = stand_in(law, table_for)
    design, by_hand = fit.model.design, LeastSquares(fit)
    drawn = fit.loss(design.rows[list(law.columns)]).isel(chain=0, draw=0)
    expected = np.log(drawn.transpose("row", "eval").values)[design.cells["row"], design.cells["eval"]]
    np.testing.assert_allclose(by_hand.predict(by_hand.start[None], design)[:, 0], expected, rtol=1e-9)


def test_a_bootstrap_over_runs_knows_how_new_runs_scatter():
    case = kept_out(0.01)[1]
    found = rivals.bootstrap(case)
    width = (found["upper"] - found["lower"]).to_numpy()
    assert (width > 2 * 1.0 * 0.01).all() and width.mean() < 2 * 2.5 * 0.01
    assert (np.abs(found["middle"] - case.held.log_loss) < 0.04).all() and (found["crps"] > 0).all()


def test_a_conformal_interval_is_the_quantile_of_errors_beyond_the_largest_scale():
    case = kept_out(0.01)[1]
    found = rivals.conformal(case)
    sizes = case.model.runs.table["N"]
    largest = sizes > np.exp(np.log(sizes.min()) + 0.7 * np.log(sizes.max() / sizes.min()))
    before = replace(case.model, runs=case.model.runs.select(~largest.to_numpy()))
    far = case.model.runs.table[largest]
    law = before.fit(method="mle", seed=1, progress=False).predict(far[["N", "D"]])["mean"].to_numpy()
    errors = np.abs(np.log(far[case.model.runs.loss_columns[0]].to_numpy() / law))
    assert (found["upper"] - found["middle"]).to_numpy() == pytest.approx(errors.max()), "too few for the quantile"


def test_a_population_of_slopes_is_found_again(monkeypatch):
    rng, wide = np.random.default_rng(0), np.log(slopes.WIDE[0])
    own = {name: rng.normal(np.log(0.1), 0.3) for name in slopes.STUDIES}

    def draws(name: str) -> dict[str, np.ndarray]:
        precise = 1 / 0.2**2 + 1 / slopes.WIDE[1] ** 2
        mean = (own[name] / 0.2**2 + wide / slopes.WIDE[1] ** 2) / precise
        return {"N": rng.normal(mean, precise**-0.5, 800), "S1": rng.normal(wide, slopes.WIDE[1], 800)}

    monkeypatch.setattr(slopes, "log_slopes", draws)
    slopes.likelihood.cache_clear()
    slopes.priors.cache_clear()
    median, spread, families = slopes.population("N")
    assert 0.07 < median < 0.14 and 0.15 < spread < 0.6 and families == len({s.family for s in slopes.STUDIES.values()})
    flat, vague, _ = slopes.population("S1")
    assert flat == pytest.approx(np.exp(slopes.EXPECTED), rel=0.4) and vague > 0.9, "a table that says nothing"
    without = slopes.population("N", "gemstones")
    assert without[2] == families - 1 and without[0] != median
    assert slopes.priors("gemstones")["N"].parameters["mu"] == pytest.approx(np.log(without[0]))
    assert slopes.priors("gemstones")["D"] == slopes.SLOPES["D"], "of no family: the default"
    slopes.likelihood.cache_clear()
    slopes.priors.cache_clear()


def rows(coverage: dict[str, float], score: dict[str, float]) -> pd.DataFrame:
    """Scores of two tables along one axis, six runs each, a factor of 2 beyond."""
    one = {"axis": "more tokens", "factor": 2.0, "width": 1.0, "CRPS": 1.0, "square": 4.0, "bias": -2.0}
    found = [
        one | {"table": table, "method": who, "run": f"run {k}", "coverage": coverage[who], "interval score": s}
        for table, worse in (("a", 1.0), ("b", 2.0))
        for who, s in ((who, worse * s if who == beyond.ALONE else s) for who, s in score.items())
        for k in range(6)
    ]
    return pd.DataFrame(found)


def test_targets_are_counted_from_the_scores():
    scores = rows({beyond.CHOSEN: 0.9, beyond.ALONE: 0.5}, {beyond.CHOSEN: 3.0, beyond.ALONE: 2.0})
    classes, pairs = beyond.by_class(scores), beyond.summary(scores, "table", "axis")
    assert classes.loc[("more tokens", "1.5 to 3", beyond.CHOSEN), "tables"] == 2
    assert pairs.loc[("a", "more tokens", beyond.CHOSEN), "rms error"] == 2
    found = list(beyond.targets(classes, pairs, beyond.CHOSEN))
    assert [ok for *_, ok in found] == [True, True, False]
    assert found[2][1] == "1 of 2; not in a more tokens 1.5 times"
    coverage, single = islice(beyond.targets(classes, pairs, beyond.ALONE), 2)
    assert not coverage[2] and single[1].startswith("0 of 2; not in a more tokens 0.5")


def test_results_are_kept_until_their_recipe_changes(monkeypatch, tmp_path):
    asked = []

    def predict(case: Case) -> pd.DataFrame:
        asked.append(str(case))
        if "larger" in str(case):
            raise rivals.Unfit("too large")
        law = case.held.log_loss
        return pd.DataFrame({"middle": law, "lower": law - 0.01, "upper": law + 0.01})

    monkeypatch.setattr(beyond, "BUILD", tmp_path)
    width = [0.03]
    misfit = lambda case: bl.Misfit({"N": bl.positive(width[0], spread=0.6)})  # noqa: E731
    monkeypatch.setitem(beyond.METHODS, "mine", beyond.Method(predict, misfit))
    larger, *_, more = kept_out(0.003)
    for _ in range(2):
        found = beyond.scored("mine", more)
        assert (found["coverage"] == 1).all() and found["width"].to_numpy() == pytest.approx(2)
        assert beyond.scored("mine", larger)["unfit"].tolist() == ["too large"]
    assert len(asked) == 2
    width[0] = 0.04
    beyond.scored("mine", more)
    assert len(asked) == 3, "another slope is another recipe"


def test_slopes_are_chosen_by_the_families_that_are_not_scored():
    one, other = list(beyond.CANDIDATES)[:2]
    best = {"gemstones": one, "gemstones_half_lr": one, "opt": other, "gpt3_train": other, "chinchilla_epoch": other}
    about = {"axis": "more tokens", "coverage": 1.0}
    found = pd.DataFrame(
        [
            about | {"table": table, "method": who, "interval score": 1.0 if who == good else 2.0}
            for table, good in best.items()
            for who in (one, other, beyond.ALONE)
        ]
    )
    assert beyond.choices(found).to_dict() == dict.fromkeys(("gemstones", "opt", "gpt3", "chinchilla"), other)
    kept = beyond.with_chosen(found)
    assert set(kept["method"]) == {beyond.ALONE, beyond.CHOSEN}
    scores = kept[kept["method"] == beyond.CHOSEN].set_index("table")["interval score"]
    assert scores.to_dict() == {table: 1.0 if good == other else 2.0 for table, good in best.items()}
