"""The processes of what a law misses: their functions, and what they do to real and simulated extrapolations."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, UnknownName
from bayeslaw.posterior.law_and_misfit import law_and_misfit
from bayeslaw.spec.misfit import SCALES, Misfit
from bayeslaw.workflow import Fit

COLUMNS = ("N", "D", "domain_share")


def rows(**levels: Any) -> xr.Dataset:
    """Rows with all combinations of levels."""
    table = pd.MultiIndex.from_product(list(levels.values()), names=list(levels)).to_frame(index=False)
    return xr.Dataset({c: ("row", table[c].to_numpy(float)) for c in table})


def functions(column: str, levels: Any, at: Any, reference: float = 1.0) -> np.ndarray:
    """The basis functions of one scale, for its measured levels."""
    process = Misfit().processes(rows(**{column: levels}), (column,), {column: reference})[column]
    return process.basis({column: xr.DataArray(np.asarray(at, float), dims="at")}).transpose("at", process.dim).values


@pytest.mark.parametrize(("column", "levels"), [("N", [1e8, 4e8, 9e8, 2e9]), ("domain_share", [0.1, 0.3, 0.5, 0.9])])
def test_a_process_has_no_level_and_no_slope_over_the_measured_levels(column, levels):
    at = SCALES[column](np.array(levels))
    found = functions(column, levels, levels)
    line = np.polynomial.polynomial.polyfit(at - at.mean(), found, 1)
    np.testing.assert_allclose(line, 0.0, atol=1e-6)


def test_a_process_has_the_covariance_of_a_matern_process_between_and_beyond_the_levels():
    levels, t = [1e8, 4e8, 9e8, 2e9], np.linspace(7, 11, 60)
    found = functions("N", levels, 10**t)
    x = np.log10(levels)
    far = np.sqrt(3) * abs(np.r_[t, x][:, None] - np.r_[t, x]) / 2.0
    plain = 4 / 3 * (1 + far) * np.exp(-far)
    line = np.vander(t - x.mean(), 2) @ np.linalg.pinv(np.vander(x - x.mean(), 2))
    rest = np.hstack([np.eye(len(t)), -line])
    expected = rest @ plain @ rest.T
    np.testing.assert_allclose((found**2).sum(1), np.diag(expected), atol=0.05 * np.diag(expected).max())
    decades = np.array([0.5, 1.0, 2.0])
    sd = np.sqrt((functions("N", levels, 10 ** (x.max() + decades)) ** 2).sum(1))
    assert (abs(sd / decades - 1) < 0.2).all()  # grows by about the slope for every factor of ten


def test_the_scales_are_those_of_the_law_and_only_levels_are_sampled():
    levels = rows(N=[1e8, 4e8, 9e8], D=[1e9, 3e9, 1e10, 4e10], domain_share=[0.1, 0.5, 0.9])
    found = Misfit().processes(levels, COLUMNS, {})
    assert list(found) == ["N", "D", "domain_share", "domain_share_D", "N_D"]
    assert found["N"].sampled == 1 < len(found["N"]) and found["D"].sampled == 2
    single = Misfit().processes(rows(N=[1e9], D=[1e9, 3e9, 1e10]), ("N", "D"), {})
    assert list(single) == ["N", "D"] and single["N"].sampled == 0
    assert functions("N", [1e9], [1e9]).any() is np.False_ or abs(functions("N", [1e9], [1e9])).max() < 1e-4


def test_of_many_levels_some_are_taken_evenly():
    levels, at = np.geomspace(1e9, 1e11, 4000), np.geomspace(1e8, 1e13, 30)
    many, few = (functions("D", x, at) for x in (levels, np.geomspace(1e9, 1e11, 400)))
    np.testing.assert_allclose((many**2).sum(1), (few**2).sum(1), rtol=0.02)


def test_annealed_rates_are_counted_in_the_peak_of_the_runs_or_else_in_that_of_the_reference_run():
    levels, at = np.array([0.0, 0.3, 0.7, 1.3]), np.array([-0.5, 0.1, 1.0, 2.0])
    small, large = (functions("annealed", levels * rate, at * rate, rate) for rate in (2e-4, 2e-3))
    np.testing.assert_allclose(small, large, atol=1e-9)
    sd = np.sqrt((small[-1] ** 2).sum())
    assert 0.5 < sd < 1.0  # at 0.7 units beyond the runs, of a slope of 1
    measured = rows(annealed=levels * 3e-4, peak=[1e-4, 3e-4])
    process = Misfit().processes(measured, ("annealed",), {"annealed": 2e-4})["annealed"]
    found = process.basis({"annealed": xr.DataArray(at * 3e-4, dims="at")}).transpose("at", process.dim)
    np.testing.assert_allclose(found, small, atol=1e-9)
    kept = Misfit().over(measured).processes(measured.assign(peak=5 * measured["peak"]), ("annealed",), {})["annealed"]
    assert kept.factors[0].unit == process.factors[0].unit == 3e-4


def test_a_misfit_is_stated_in_words():
    with pytest.raises(UnknownName, match="tokens"):
        Misfit({"tokens": bl.positive(0.05, spread=0.6)})
    with pytest.raises(ArgumentError, match=r"0\.05: give a prior"):
        Misfit({"N": 0.05})  # type: ignore[dict-item]
    for kind, value in ((UnknownName, "polynomial"), (ArgumentError, False), (ArgumentError, True)):
        wanted = re.escape(f"misfit is {value!r}: give a misfit, bl.Misfit(...), 'scales' or None") + "$"
        with pytest.raises(kind, match=wanted):
            bl.Model(models.chinchilla, bl.read_runs(curves(1.0)), misfit=value)  # type: ignore[arg-type]


def test_a_model_has_a_misfit_unless_its_runs_are_one():
    table = curves(1.0)
    several = bl.Model(models.chinchilla, bl.read_runs(table))
    single = bl.Model(models.power_law, bl.read_runs(table[table["N"] == 1e8]))
    assert list(several.processes) == ["N", "D", "N_D"] and "along N, D, N_D" in repr(several)
    assert single.misfit is None and "none: the law alone" in repr(single)
    assert bl.Model(models.power_law, single.runs, misfit=bl.Misfit()).processes
    assert not bl.Model(models.chinchilla, several.runs, misfit=None).processes


def test_laws_of_curves_miss_along_the_area_the_annealed_rate_and_their_product():
    plans = {"constant": bl.schedules.constant(9000, 2e-4), "cosine": bl.schedules.cosine(9000, 2e-4)}
    rows = [(run, step, 3.0) for run in plans for step in range(600, 9000, 1200)]
    table = pd.DataFrame(rows, columns=["run", "step", "loss"])
    for law, column in ((models.lr_annealing, "annealed"), (models.multi_power, "annealed_power")):
        both = bl.Model(law, bl.read_curves(table, schedule=plans))
        assert list(both.processes) == ["S1", column, f"{column}_S1"]
        alike = bl.read_curves(table, schedule=dict.fromkeys(plans, plans["constant"]))
        assert list(bl.Model(law, alike).processes) == ["S1", column]  # no decay was seen
    single = bl.read_curves(table[table["run"] == "cosine"], schedule=plans["cosine"])
    assert bl.Model(models.lr_annealing, single).misfit is None


def curves(k: float, seed: int = 0) -> pd.DataFrame:
    """Curves of six sizes in which sizes and tokens interact, as the power k says; 1 is the Chinchilla law."""
    levels: list[Any] = [np.geomspace(1e8, 3e9, 6), np.geomspace(2e9, 1e11, 12)]
    table = pd.MultiIndex.from_product(levels, names=["N", "D"]).to_frame(index=False)
    rng = np.random.default_rng(seed)
    of_run = pd.Series(rng.normal(0, 0.002, 6), index=levels[0])
    drop = (0.5 * (table["N"] / 1e9) ** (-0.34 / k) + 0.45 * (table["D"] / 2e10) ** (-0.37 / k)) ** k
    noise = of_run.loc[table["N"]].to_numpy() + rng.normal(0, 0.001, len(table))
    return table.assign(loss=(1.7 + drop) * np.exp(noise), run=table["N"].map("{:.3g}".format))


@pytest.fixture(scope="module")
def fits() -> dict[str, Fit]:
    """A law that cannot interact, with and without misfit, fitted to the four smaller of six sizes."""
    table = curves(3.0)
    runs = bl.read_runs(table[table["N"] < 1e9])
    plain = bl.Model(models.chinchilla, runs, misfit=None)
    settings: dict[str, Any] = {"draws": 500, "seed": 1, "progress": False}
    return {"plain": plain.fit(**settings), "scales": replace(plain, misfit="scales").fit(**settings)}


def test_the_posterior_mixes_if_not_as_fast_as_that_of_a_law(fits):
    found = fits["scales"].summary()
    assert found["r_hat"].astype(float).max() <= 1.02 and fits["scales"].idata["sample_stats"]["diverging"].sum() <= 4
    assert "misfit_N_D_slope" in found.index and not any("misfit_N[" in name for name in found.index)


def test_larger_models_lie_in_the_intervals_and_the_run_effect_does_not_take_the_misfit(fits):
    table = curves(3.0)
    larger = table[table["N"] > 1e9]
    covered = {}
    for name, fit in fits.items():
        predicted = fit.predict(larger.drop(columns="loss"), new_run=True)
        covered[name] = float(((predicted["lower"] <= larger["loss"]) & (larger["loss"] <= predicted["upper"])).mean())
    assert covered["scales"] >= 0.85
    sigma = {name: float(fit.posterior["sigma"].mean()) for name, fit in fits.items()}
    assert sigma["scales"] < 0.5 * sigma["plain"]


def test_the_requirements_of_the_paper_are_asked_of_the_law_alone(fits):
    whole, alone = (bl.requirements(f) for f in (fits["scales"], fits["scales"].without_misfit()))
    pd.testing.assert_frame_equal(whole, alone)


def test_the_law_alone_and_the_mean_with_its_misfit_are_named(fits):
    fit = fits["scales"]
    asked: dict[str, Any] = {"N": 1e10, "D": 1e11}
    whole, alone = fit.predict(**asked), fit.without_misfit().predict(**asked)
    assert whole.what == "mean law with its misfit" and alone.what == "mean law"
    width = [(x.interval()["upper"] - x.interval()["lower"]).item() for x in (whole, alone)]
    assert width[0] > width[1]
    at = fit.columns(**asked)
    np.testing.assert_allclose(whole.draws, alone.draws * np.exp(fit.misfit(at)), rtol=1e-12)


def test_a_report_says_how_much_of_a_fit_is_the_misfits(fits):
    found = law_and_misfit(fits["scales"]).set_index("along")
    assert list(found.index) == ["N", "D", "N and D"] and law_and_misfit(fits["plain"]).empty
    alone = fits["scales"].without_misfit()
    sizes = fits["scales"].model.design.rows["N"].values
    ends = alone.predict(N=[sizes.min(), sizes.max()], D=1e10).draws
    by_hand = float(np.log(ends.isel(N=1) / ends.isel(N=0)).mean())
    law = found["law"]["N"]
    assert law < 0 and law == pytest.approx(by_hand, abs=0.05)
    assert (found["misfit"] > 0).all() and (found["misfit"] < 0.05).all() and (found["beyond"] > found["misfit"]).all()


def test_a_saved_fit_answers_alike(fits, tmp_path):
    fit = fits["scales"]
    loaded = bl.load(fit.save(tmp_path / "fit.nc"))
    asked: dict[str, Any] = {"N": [1e9, 1e11], "D": 1e12}
    np.testing.assert_array_equal(loaded.predict(**asked).draws, fit.predict(**asked).draws)
    assert loaded.model.misfit is not None and "misfit" in repr(loaded.model)


def test_the_density_knows_the_residuals_of_the_posterior(fits):
    from bayeslaw.sampler.density import Density

    fit = fits["scales"]
    density = Density(fit.model)
    draw = fit.posterior.isel(chain=0, draw=7)
    c = np.empty(density.size)
    for name, block in density.parameters.items():
        knots = {d: slice(n) for d, n in zip(block.dims, block.shape, strict=True) if d.startswith("knot_")}
        c[block.place] = draw[name].isel(knots).transpose(*block.dims).values.ravel()
    mean = fit.loss(fit.model.design.rows[["N", "D"]]).isel(chain=0, draw=7, eval=0)
    expected = fit.model.design.log_loss - np.log(mean.values)
    left_out = 5e-4  # what the functions of the other levels would add
    np.testing.assert_allclose(density.residuals(c)[1], expected, atol=left_out)


@pytest.mark.parametrize("options", [[], ["--law-alone"]], ids=["default", "law alone"])
def test_the_command_line_has_a_misfit_and_leaves_it_out(options, tmp_path, capsys):
    from bayeslaw.cli import app

    curves(1.0).to_csv(tmp_path / "runs.csv", index=False)
    asked = ["fit", "chinchilla", str(tmp_path / "runs.csv"), "-o", str(tmp_path / "fit.nc"), "--draws=50", *options]
    with pytest.raises(SystemExit) as left:
        app(asked)
    assert not left.value.code
    assert ("misfit_D_slope" in capsys.readouterr().out) != bool(options)
    assert bool(bl.load(tmp_path / "fit.nc").processes) != bool(options)


def test_the_command_line_adds_a_misfit_where_none_is_the_default_and_names_the_remedy(tmp_path):
    from bayeslaw.cli import app

    shares = np.linspace(0.1, 0.9, 6)
    table = pd.DataFrame({"weight_web": shares, "weight_code": 1 - shares, "loss": 3 - shares, "run": list("abcdef")})
    table.to_csv(tmp_path / "mixtures.csv", index=False)
    single = curves(1.0).query("N == 1e8")
    single.to_csv(tmp_path / "single.csv", index=False)
    output = ["-o", str(tmp_path / "fit.nc")]
    refused = CliRunner().invoke(app, ["fit", "data_mixing", str(tmp_path / "mixtures.csv"), *output, "--misfit"])
    assert refused.exit_code == 2 and "data_mixing has none of the scales of a misfit (N, D, S1, " in refused.stderr
    assert refused.stderr.rstrip().endswith("give --law-alone, or leave --misfit out")
    asked = ["fit", "power_law", str(tmp_path / "single.csv"), *output, "--draws=20", "--chains=1"]
    for options, given in (([], False), (["--misfit"], True)):
        assert CliRunner().invoke(app, [*asked, *options]).exit_code == 0
        assert bool(bl.load(tmp_path / "fit.nc").processes) == given
    known = CliRunner().invoke(app, ["evaluate", str(tmp_path / "fit.nc"), "--by=N", "--misfit"])
    assert known.exit_code == 2 and "has its own runs and model: leave --misfit out" in known.stderr
