"""Splits, scores against formulas of their own, and evaluations of small simulated studies."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

import bayeslaw as bl
from bayeslaw import models, splits
from bayeslaw.base.numbers import short
from bayeslaw.cli.options import read_splits
from bayeslaw.errors import BayeslawError, DataError, RangeError, RefitError, StoreError, UnknownName
from bayeslaw.posterior import inference
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.validation.scores import crps, huber, interval_score, scores
from bayeslaw.workflow import Fit

TRUTH = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
OTHERS = {"eta": 1.2, "C": 0.5, "gamma": 0.4, "eps": 0.1}
"""What the D-CPT law has besides."""
SIGMA = 0.004
SIZES, TOKENS = [2e8, 5e8, 1e9, 4e9], [1e9, 3e9, 1e10, 4e10]
FLOORS = {"code": 0.9, "law": 1.0}


def table(domains: tuple[str, ...] = ("code",), seed: int = 0) -> pd.DataFrame:
    """One run of four checkpoints per size and domain, simulated, in no order."""
    rows = pd.MultiIndex.from_product([SIZES, TOKENS, domains], names=["N", "D", "domain"]).to_frame(index=False)
    rows["run"] = [f"{n:g}-{d}" for n, d in zip(rows["N"], rows["domain"], strict=True)]
    floor = rows["domain"].map(FLOORS) if len(domains) > 1 else 1.0
    mean = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **{**TRUTH, "E": TRUTH["E"] * floor})
    rows["loss"] = mean * np.exp(SIGMA * np.random.default_rng(seed).standard_normal(len(rows)))
    return rows.sample(frac=1, random_state=0).reset_index(drop=True)


RUNS = bl.read_runs(table())
INDEPENDENT = bl.Noise(correlated=False)
MODEL = bl.Model(models.chinchilla, RUNS, noise=INDEPENDENT, misfit=None)


def around_the_truth(model: bl.Model, draws: int = 500, **settings: Any) -> Fit:
    """A fit with draws around the truth, instead of sampled ones; two chains that agree."""
    rng = np.random.default_rng(settings["seed"])
    dims, coords = ("chain", "draw", "eval"), {"chain": [0, 1], "draw": np.arange(draws), "eval": model.design.evals}
    shape, middles = (2, draws, len(model.design.evals)), {**TRUTH, **OTHERS, "sigma": SIGMA}
    data: dict[str, Any] = {
        k: (dims, v * np.exp(1e-3 * rng.standard_normal(shape)))
        for k, v in middles.items()
        if k in (*model.law.coefficients, "sigma")
    }
    for name, column in model.by.items():
        labels = model.design.groups[column]
        coords[column] = labels
        floors = TRUTH[name] * np.array([FLOORS.get(str(x), 1.0) for x in labels])
        near = np.exp(1e-3 * rng.standard_normal((2, draws, 1, len(labels))))
        data[name] = ((*dims, column), floors * near)
        data[f"{name}_mu"] = (dims, np.log(TRUTH[name]) + 1e-3 * rng.standard_normal((2, draws, 1)))
        data[f"{name}_sigma"] = (dims, 0.1 * near[..., 0])
    stats = xr.Dataset({"diverging": (dims[:2], np.zeros((2, draws), bool))})
    return Fit(
        model, xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords), "sample_stats": stats}), settings, 1.0
    )


@pytest.fixture
def made_up(monkeypatch):
    """Refits that cost nothing; the models asked for."""
    asked: list[bl.Model] = []

    def fit(model: bl.Model, **settings: Any) -> Fit:
        asked.append(model)
        return around_the_truth(model, **settings)

    monkeypatch.setattr(inference, "fit", fit)
    return asked


# ------------------------------------------------------------------------------------------------------------- splits
def masks(s: splits.Splits, runs: bl.Runs = RUNS) -> dict[str, np.ndarray]:
    return {f.label: f.test for f in s(runs)}


def once(masks: dict[str, np.ndarray]) -> bool:
    """Whether every row is held out exactly once."""
    return bool((np.sum(list(masks.values()), axis=0) == 1).all())


def test_by_leaves_one_label_out():
    t = RUNS.table
    found = masks(splits.by("N"))
    assert list(found) == ["N 200000000", "N 500000000", "N 1e+09", "N 4e+09"]
    assert all((test == (t["N"] == n)).all() for test, n in zip(found.values(), SIZES, strict=True))
    two = bl.read_runs(table(("code", "law")))
    assert list(masks(splits.by("domain"), two)) == ["domain code", "domain law"]
    pairs = masks(splits.by("N", "domain"), two)
    assert len(pairs) == 8 and once(pairs) and "N 200000000, domain law" in pairs


def test_numbers_that_differ_by_rounding_are_one_label():
    rows = table().assign(domain_share=[0.3, 0.1 + 0.2, 0.6, 0.6] * 4).assign(run=lambda f: range(len(f)))
    assert list(masks(splits.by("domain_share"), bl.read_runs(rows))) == ["domain_share 0.3", "domain_share 0.6"]


def test_the_largest_label():
    ((label, test),) = masks(splits.largest("N")).items()
    assert label == "N 4e+09" and (test == (RUNS.table["N"] == 4e9)).all()


def test_late_rows_and_segments_are_parts_of_every_run():
    t = RUNS.table
    ((_, test),) = masks(splits.late("D", 0.2)).items()
    assert (test == (t["D"] > 0.2 * 4e10)).all()
    thirds = masks(splits.segments("D", 3))
    assert list(thirds) == ["D segment 1 of 3", "D segment 3 of 3"], "no row lies in the middle third"
    assert once(thirds)
    single = bl.read_runs(table().query("D == 4e10 or N > 1e9"))
    ((_, test),) = masks(splits.late("D"), single).items()
    assert set(single.table["run"][test]) == {"4e+09-code"}, "a run without an earlier row is not held out"
    assert "seen" in splits.late().unit and splits.by("N").unit == "whole runs"


def test_parts_of_the_runs():
    found = masks(splits.runs(3, seed=1))
    assert len(found) == 3 and once(found)
    for test in found.values():
        assert not set(RUNS.table["run"][test]) & set(RUNS.table["run"][~test])
    assert all((a == b).all() for a, b in zip(found.values(), masks(splits.runs(3, seed=1)).values(), strict=True))


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: splits.by("n")(RUNS), UnknownName, "did you mean 'run'|column to split by 'n'"),
        (lambda: splits.by("domain")(RUNS), DataError, "holds out every row"),
        (lambda: splits.by("D")(RUNS), DataError, "cut the run .* in two .*splits.late"),
        (lambda: splits.by("validation_loss")(RUNS), UnknownName, "column to split by"),
        (lambda: splits.largest("domain")(RUNS), DataError, "domain holds text"),
        (lambda: splits.late("D")(RUNS.select(RUNS.table["D"] > 3e10)), DataError, "holds out no row"),
        (lambda: splits.late("step")(RUNS), UnknownName, "column along the runs 'step'"),
        (lambda: splits.late("D", 60), RangeError, "fraction is 60"),
        (lambda: splits.runs(9)(RUNS), DataError, "4 runs cannot make 9 parts"),
        (lambda: splits.runs(1), RangeError, "at least 2"),
        (lambda: splits.segments("D", 1), RangeError, "at least 2"),
        (lambda: splits.by(), RangeError, "name the column"),
    ],
)
def test_splits_that_make_no_sense_are_refused(ask, error, says):
    with pytest.raises(error, match=says):
        ask()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("by:N", splits.by("N")),
        ("by:N,domain_share", splits.by("N", "domain_share")),
        ("largest:N", splits.largest("N")),
        ("late:D", splits.late("D")),
        ("late:D:0.5", splits.late("D", 0.5)),
        ("segments:D:2", splits.segments("D", 2)),
        ("runs:5", splits.runs(5, seed=7)),
    ],
)
def test_splits_as_text(text, same):
    assert read_splits(text, seed=7).name == same.name


@pytest.mark.parametrize("text", ["by", "runs:some", "late:D:much", "largest", "runs:5:6", "buy:N", "late:D:2"])
def test_splits_as_text_that_cannot_be_read(text):
    with pytest.raises(BayeslawError):
        read_splits(text)


# ------------------------------------------------------------------------------------------------------------- scores
def test_crps_of_normal_draws_is_the_closed_form():
    y = np.array([-1.0, 0.3, 2.5])
    draws = np.random.default_rng(0).standard_normal((3, 200_000))
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(draws, y), closed, atol=0.005)


def test_crps_is_its_definition():
    rng = np.random.default_rng(1)
    draws, y = rng.normal(size=(4, 30)), rng.normal(size=4)
    apart = abs(draws[:, :, None] - draws[:, None, :]).mean(axis=(1, 2))
    np.testing.assert_allclose(crps(draws, y), abs(draws - y[:, None]).mean(axis=1) - apart / 2)
    np.testing.assert_allclose(crps(np.array([[2.0]]), np.array([2.5])), 0.5)


def test_interval_score_by_hand():
    found = interval_score(np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0, 2.0]), np.array([1.5, 0.9, 2.2]), 0.9)
    np.testing.assert_allclose(found, [1.0, 1 + 20 * 0.1, 1 + 20 * 0.2])


def test_huber_by_hand():
    np.testing.assert_allclose(huber(np.array([5e-4, -1e-3, 0.01]), 1e-3), [1.25e-7, 5e-7, 1e-3 * 0.0095])


def test_scores_together():
    rows = pd.DataFrame(
        {
            "observed": [2.0, 3.0, 4.0],
            "mean": [2.1, 3.0, 3.7],
            "lower": [1.9, 3.1, 3.5],
            "upper": [2.2, 3.3, 4.5],
            "crps": [0.1, 0.2, 0.3],
            "log_score": [1.0, 2.0, 3.0],
        }
    )
    found = scores(rows, 0.89)
    assert found["n"] == 3 and found["mae"] == pytest.approx(0.4 / 3) and found["coverage"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - (0.01 + 0.09) / 2)
    assert found["crps"] == pytest.approx(0.2) and found["log_score"] == 2
    assert found["interval_score"] == pytest.approx((0.3 + 0.2 + 2 / 0.11 * 0.1 + 1.0) / 3)
    assert np.isnan(scores(rows.head(1), 0.89)["r2"])


# --------------------------------------------------------------------------------------------------------- evaluation
def test_every_held_out_measurement_is_predicted_by_a_fit_without_it(made_up):
    found = bl.evaluate(MODEL, bl.splits.by("N"))
    assert [len(m.runs) for m in made_up] == [12] * 4
    assert all(n not in m.runs.table["N"].values for m, n in zip(made_up, SIZES, strict=True))
    assert all(
        (m.law, m.by, m.noise, m.reference) == (MODEL.law, MODEL.by, MODEL.noise, MODEL.reference) for m in made_up
    )
    merged = found.rows.merge(RUNS.table, on=["run", "D"])
    assert len(merged) == 16 and (merged["observed"] == merged["validation_loss"]).all()
    frame, summary = found.to_frame(), found.summary()
    assert frame["fold"].tolist() == [f"N {n:.9g}" for n in SIZES] and (frame["eval"] == "validation").all()
    assert frame["n"].sum() == summary["n"].item() == 16
    assert (frame["r_hat"] < 1.02).all() and (frame["divergences"] == 0).all()
    assert summary["mae"].item() == pytest.approx(abs(found.rows["observed"] - found.rows["mean"]).mean())
    assert summary["r2"].item() > 0.99 and summary["coverage"].item() >= 0.75
    assert "4 refits, by(N), whole runs" in repr(found) and "<table" in found._repr_html_()


def test_predictions_are_those_of_a_new_run(made_up):
    found = bl.evaluate(MODEL, bl.splits.largest("N"), seed=3, prob=0.5)
    fit, row = around_the_truth(made_up[0], seed=3), found.rows.set_index("D").loc[4e10]
    at: dict[str, Any] = {"N": 4e9, "D": 4e10}
    assert row["mean"] == pytest.approx(fit.predict(**at).mean().item())
    new = fit.predict(**at, new_run=True, seed=9)
    ends = new.interval(0.5).squeeze("eval")
    width = float(ends["upper"] - ends["lower"])
    assert row["lower"] == pytest.approx(float(ends["lower"]), abs=0.2 * width)
    assert row["upper"] == pytest.approx(float(ends["upper"]), abs=0.2 * width)
    assert row["pit"] == pytest.approx(float((new.draws < row["observed"]).mean()), abs=0.06)
    means, sigma = np.log(fit.predict(**at).draws.values), fit.posterior["sigma"].values
    density = norm.pdf(np.log(row["observed"]), means, sigma).mean()
    assert row["log_score"] == pytest.approx(np.log(density))


def test_the_joint_density_of_held_out_runs(made_up):
    model = bl.Model(models.chinchilla, RUNS, noise=INDEPENDENT, misfit=None)
    found = bl.evaluate(model, bl.splits.runs(2, seed=1))
    assert sorted(found.runs["run"]) == sorted(RUNS.table["run"].unique()) and (found.runs["n"] == 4).all()
    whole = log_likelihood(around_the_truth(model, seed=0))
    for row in found.runs.itertuples():  # the made-up draws are the same with and without a run
        density = np.exp(whole.sel(run=row.run) - whole.sel(run=row.run).max()).mean()
        assert row.elpd == pytest.approx(float(np.log(density) + whole.sel(run=row.run).max()))
    assert f"{short(found.runs['elpd'].sum(), 4)} nats over 4 runs" in repr(found)


def test_late_rows_are_predicted_from_the_early_ones(made_up):
    found = bl.evaluate(MODEL, bl.splits.late("D"))
    assert (found.rows["D"] == 4e10).all() and len(found.rows) == 4 and made_up[0].runs.table["D"].max() == 1e10


def test_a_held_out_domain_is_drawn_from_its_population(made_up):
    runs = bl.read_runs(table(("code", "law")))
    model = bl.Model(models.chinchilla, runs, by={"E": "domain"}, noise=INDEPENDENT, misfit=None)
    unknown = bl.evaluate(model, bl.splits.by("domain")).rows
    known = bl.evaluate(model, bl.splits.by("run")).rows
    assert set(unknown["domain"]) == {"code", "law"}
    assert (unknown["upper"] - unknown["lower"]).mean() > 5 * (known["upper"] - known["lower"]).mean()
    assert ((unknown["lower"] < unknown["observed"]) & (unknown["observed"] < unknown["upper"])).all()


def test_what_cannot_be_known_is_refused_before_any_fit(made_up):
    runs = bl.read_runs(table(("code", "law")))
    separate = bl.Model(
        models.chinchilla, runs, priors={"E": bl.Prior("LogNormal", mu=0.4, sigma=0.5, dims="domain")}, misfit=None
    )
    with pytest.raises(RangeError, match=r"E is separate by domain.*at domain code.*pool it with by={'E': 'domain'}"):
        bl.evaluate(separate, bl.splits.by("domain"))
    pooled = bl.Model(models.chinchilla, runs, by={"E": "domain"}, misfit=None)
    with pytest.raises(RangeError, match="no population to draw E at domain code"):
        bl.evaluate(pooled, bl.splits.by("domain"), method="mle")
    two = bl.Model(models.chinchilla, RUNS.select(RUNS.table["N"] <= 5e8), misfit=None)
    with pytest.raises(DataError, match="the runs without the fold 'N 200000000' cannot be fitted: a single run"):
        bl.evaluate(two, bl.splits.by("N"))
    with pytest.raises(RangeError, match="prob is 89"):
        bl.evaluate(MODEL, bl.splits.by("N"), prob=89)
    with pytest.raises(RangeError, match="jobs is 0"):
        bl.evaluate(MODEL, bl.splits.by("N"), jobs=0)
    assert made_up == []


def test_rows_outside_the_laws_range_are_not_scored(made_up):
    rows = table().assign(domain_share=lambda f: f["N"].map(dict(zip(SIZES, [0.0, 0.3, 0.6, 1.0], strict=True))))
    rows = rows.rename(columns={"loss": "general_loss"}).assign(domain_loss=lambda f: f["general_loss"])
    model = bl.Model(models.dcpt, bl.read_runs(rows), noise=bl.Noise(correlated=False, joint=False), misfit=None)
    found = bl.evaluate(model, bl.splits.by("domain_share"))
    assert found.rows.groupby(["fold", "eval"]).size().to_dict() == {
        ("domain_share 0", "general"): 4,
        ("domain_share 0.3", "general"): 4,
        ("domain_share 0.3", "domain"): 4,
        ("domain_share 0.6", "general"): 4,
        ("domain_share 0.6", "domain"): 4,
        ("domain_share 1", "domain"): 4,
    }
    assert (found.runs["n"] == [4, 8, 8, 4]).all()


def test_finished_folds_are_kept_and_not_fitted_again(made_up, tmp_path):
    folder = tmp_path / "new" / "folds"
    first = bl.evaluate(MODEL, bl.splits.by("N"), folder=folder)
    files = sorted(folder.iterdir())
    assert len(files) == 4 and all(f.suffix == ".json" for f in files) and len(made_up) == 4
    again = bl.evaluate(MODEL, bl.splits.by("N"), folder=folder)
    assert len(made_up) == 4
    for name in ("rows", "runs", "folds"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    files[0].unlink()
    bl.evaluate(MODEL, bl.splits.by("N"), folder=folder)
    assert len(made_up) == 5, "an interrupted evaluation goes on where it was"
    other = bl.Model(
        models.chinchilla, RUNS, noise=INDEPENDENT, priors={"alpha": bl.positive(0.3, spread=0.1)}, misfit=None
    )
    for changed in ({"seed": 1}, {"draws": 40}, {"prob": 0.5}):
        bl.evaluate(MODEL, bl.splits.largest("N"), folder=folder, **changed)
    bl.evaluate(other, bl.splits.largest("N"), folder=folder)
    assert len(made_up) == 9, "another recipe is another file"
    for slope in (0.03, 0.05):
        misfit = bl.Misfit({"N": bl.positive(slope, spread=0.6)})
        bl.evaluate(replace(MODEL, misfit=misfit), bl.splits.largest("N"), folder=folder)
    assert len(made_up) == 11, "and so is another misfit"
    (folder / files[1].name).write_text("{")
    with pytest.raises(StoreError, match=r"cannot read the finished fold .*delete the file"):
        bl.evaluate(MODEL, bl.splits.by("N"), folder=folder)
    with pytest.raises(StoreError, match="cannot make the folder"):
        bl.evaluate(MODEL, bl.splits.by("N"), folder=files[2])
    assert json.loads(files[2].read_text())["fold"].startswith("N ")


def test_a_fold_that_fails_does_not_stop_the_others(monkeypatch, tmp_path):
    broken = {1e9}

    def fit(model: bl.Model, **settings: Any) -> Fit:
        if missing := broken - set(model.runs.table["N"]):
            raise ValueError(f"nothing converges\nwithout {missing.pop():g}")
        return around_the_truth(model, **settings)

    monkeypatch.setattr(inference, "fit", fit)
    found = bl.evaluate(MODEL, bl.splits.by("N"), folder=tmp_path)
    assert found.failed.to_numpy().tolist() == [["N 1e+09", "ValueError", "nothing converges without 1e+09"]]
    assert found.folds["fold"].tolist() == ["N 200000000", "N 500000000", "N 4e+09"]
    assert "left out: 1 of 4; the first, N 1e+09: ValueError: nothing converges without 1e+09" in repr(found)
    assert len(list(tmp_path.iterdir())) == 3, "it is not finished"
    broken.clear()
    again = bl.evaluate(MODEL, bl.splits.by("N"), folder=tmp_path)
    assert again.failed.empty and len(again.folds) == 4 and "left out" not in repr(again)
    broken |= set(SIZES)
    with pytest.raises(RefitError, match="every refit failed; the first, N 200000000: ValueError: nothing converges"):
        bl.evaluate(MODEL, bl.splits.by("N"))


def test_an_interrupt_stops_the_folds_and_leaves_the_finished_ones(made_up, monkeypatch, tmp_path):
    quick = inference.fit

    def fit(model: bl.Model, **settings: Any) -> Posterior:
        if len(made_up) == 2:
            raise KeyboardInterrupt
        return quick(model, **settings)

    monkeypatch.setattr(inference, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        bl.evaluate(MODEL, bl.splits.by("N"), folder=tmp_path)
    assert len(made_up) == len(list(tmp_path.iterdir())) == 2


def test_progress_is_shown_in_a_terminal(made_up, monkeypatch, capsys):
    bl.evaluate(MODEL, bl.splits.by("N"))
    assert capsys.readouterr() == ("", ""), "not where nobody looks"
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    monkeypatch.setenv("TERM", "xterm")
    bl.evaluate(MODEL, bl.splits.by("N"))
    out, err = capsys.readouterr()
    assert out == "" and "refits" in err and "4/4" in err and "left" in err
    bl.evaluate(MODEL, bl.splits.by("N"), progress=False)
    assert capsys.readouterr() == ("", "")


def test_refits_that_did_not_converge_are_named(monkeypatch):
    def fit(model: bl.Model, **settings: Any) -> Fit:
        good = around_the_truth(model, **settings)
        stats = good.idata["sample_stats"].to_dataset()
        stats["diverging"][0, :3] = model.runs.table["N"].max() < 4e9
        return Fit(model, xr.DataTree.from_dict({"posterior": good.posterior, "sample_stats": stats}), settings, 1.0)

    monkeypatch.setattr(inference, "fit", fit)
    found = bl.evaluate(MODEL, bl.splits.by("N"))
    assert found.unconverged == ["N 4e+09"] and found.to_frame()["divergences"].tolist() == [0, 0, 0, 3]
    assert "1 of 4 refits did not converge (R-hat above 1.01 or divergences), for example N 4e+09" in repr(found)


def test_the_papers_fit_is_evaluated_too():
    found = bl.evaluate(MODEL, bl.splits.largest("N"), method="mle")
    summary = found.summary()
    assert summary["n"].item() == 4 and summary["mae"].item() < 0.05
    assert found.folds["r_hat"].isna().all() and np.isfinite(found.runs["elpd"]).all()
    assert (found.rows["lower"] < found.rows["mean"]).all() and (found.rows["mean"] < found.rows["upper"]).all()


@pytest.mark.slow  # starts two processes
def test_folds_in_processes_give_the_same():
    one, two = (bl.evaluate(MODEL, bl.splits.runs(2), method="mle", jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.rows, two.rows)
    pd.testing.assert_frame_equal(one.runs, two.runs)


@pytest.mark.slow  # one refit of the real runs: 38 s on two busy cores
def test_a_share_left_out_at_one_size_of_the_real_runs():
    """The whole of it, 36 refits: ``bl.evaluate(model, bl.splits.by("N", "domain_share"), folder="folds")``."""
    rows = bl.datasets.load("tinycpt")
    settled = (rows["step"] == 0) | (rows["step"] >= 300)
    design = rows["set"].isin(["grid", "rep"]) & (rows["domain"] == "python") & (rows["schedule"] == "constant")
    model = bl.Model(
        models.dcpt,
        bl.read_runs(rows[design & settled]),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        reference={"N": 2e5, "D": 1e6},
        misfit=None,
    )
    whole = bl.splits.by("N", "domain_share")
    assert len(whole(model.runs)) == 36
    label = "N 49344, domain_share 1"
    one = bl.splits.Splits(label, lambda table: {label: whole.cut(table)[label]})
    found = bl.evaluate(model, one, draws=100, tune=300, chains=2)
    scores = found.summary().loc["domain"]
    assert list(found.summary().index) == ["domain"], "a general share of 0 lies outside the law's range"
    assert (len(found.runs), scores["n"]) == (3, 30)
    assert scores["mae"] < 0.02 and scores["coverage"] >= 0.7


@pytest.mark.parametrize(
    ("settings", "words"), [({"tun": 5}, "setting of refits 'tun'"), ({"method": "prior"}, "method")]
)
def test_unknown_settings_are_refused_before_anything_is_fitted(settings, words):
    with pytest.raises(UnknownName, match=words):
        bl.evaluate(MODEL, bl.splits.by("N"), **settings)
