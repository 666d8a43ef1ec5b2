"""The weights of a misfit follow the law: on the ridge along which they trade with it, their coordinates stay."""

import time

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.sampler.compiled import FRAME, evaluate
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.tables.runs import read_runs
from tests.sampler.test_density import grid_of_sizes


@pytest.mark.parametrize("robust", [False, True])
def test_the_coordinates_of_the_weights_stay_where_the_law_moves_and_the_losses_do_not(robust):
    noise = bl.Noise(correlated=False, robust=robust)
    density = Density(bl.Model(models.chinchilla, read_runs(grid_of_sizes()), noise=noise, misfit="scales"))
    frame = Frame.at_mode(density, estimate(density.model, regularised=True))
    coordinates, at_mode = frame.coordinates, frame.parameters(np.zeros(density.size))
    expected = density.expected(at_mode)
    weights = np.concatenate([first + np.arange(knots) for first, knots, _ in density.weights])
    steps = 1e-4 * np.eye(density.size)[weights]
    curvature = np.array([(expected(at_mode - s)[1] - expected(at_mode + s)[1])[weights] / 2e-4 for s in steps])

    def with_their_mode(v: np.ndarray) -> np.ndarray:
        v = v.copy()
        v[weights] += np.linalg.solve(curvature, expected(v)[1][weights])
        return v

    start = with_their_mode(at_mode)
    moved = start.copy()
    for name, change in {"E": -0.08, "alpha": 0.3, "beta": -0.3}.items():
        moved[density.parameters[name].place] += change
    behind, moved = (coordinates.inverse(v) - coordinates.inverse(start) for v in (moved, with_their_mode(moved)))
    assert np.abs(behind)[weights].max() > 0.9 and np.abs(moved)[weights].max() < 0.2 * np.abs(behind)[weights].max()


@pytest.mark.parametrize("robust", [False, True])
def test_a_ragged_table_is_sampled_beside_its_misfit(robust):
    """Every run has tokens of its own: law and misfit trade along ridges that no grid straightens."""
    rng = np.random.default_rng(0)
    N = np.exp(rng.uniform(np.log(1e8), np.log(3e9), 80))
    D = 20 * N * np.exp(rng.normal(0, 1, 80))
    loss = (1.7 + 0.5 * (N / 1e9) ** -0.34 + 0.45 * (D / 2e10) ** -0.3) * np.exp(0.01 * np.log10(N / 1e9) ** 2)
    scatter = rng.standard_t(4, 80) if robust else rng.standard_normal(80)
    table = pd.DataFrame({"N": N, "D": D, "loss": loss * np.exp(0.004 * scatter)})
    runs = read_runs(table.assign(run=[f"run {i}" for i in range(80)]))
    model = bl.Model(models.chinchilla, runs, noise=bl.Noise(robust=robust), misfit="scales")
    fit = model.fit(seed=1, progress=False)
    found = fit.summary()
    assert found["r_hat"].astype(float).max() <= 1.01 and found["ess_bulk"].astype(float).min() >= 400
    assert int(fit.idata["sample_stats"]["diverging"].sum()) <= 1


def ragged(rows: int, scatter: float, seed: int) -> pd.DataFrame:
    """Runs of one row each, every one with a size and tokens of its own, of a true law."""
    rng = np.random.default_rng(seed)
    N = np.exp(rng.uniform(np.log(1e8), np.log(3e9), rows))
    D = 20 * N * np.exp(rng.normal(0, 1, rows))
    loss = (1.7 + 0.4 * (N / 1e9) ** -0.34 + 0.4 * (D / 2e10) ** -0.28) * np.exp(rng.normal(0, scatter, rows))
    return pd.DataFrame({"run": [f"run {i}" for i in range(rows)], "N": N, "D": D, "loss": loss})


def at_mode(model: bl.Model) -> tuple[Density, Frame]:
    density = Density(model)
    return density, Frame.at_mode(density, estimate(model, regularised=True))


def test_the_mean_of_the_weights_follows_any_law_exactly():
    """Errors are Normal in the weights and linear in the log law, so far from the mode as near it."""
    noise = bl.Noise(correlated=False)
    density, frame = at_mode(bl.Model(models.chinchilla, read_runs(grid_of_sizes()), noise=noise, misfit="scales"))
    v = frame.parameters(np.zeros(density.size))
    weights = np.concatenate([first + np.arange(knots) for first, knots, _ in density.weights])
    for name, change in {"E": -0.4, "alpha": 0.9, "beta": -0.7, "sigma": 0.5, "misfit_N_slope": -0.6}.items():
        v[density.parameters[name].place] += change
    steps = 1e-4 * np.eye(density.size)[weights]
    curvature = np.array([(density(v - s)[1] - density(v + s)[1])[weights] / 2e-4 for s in steps])
    v[weights] += np.linalg.solve(curvature, density(v)[1][weights])
    np.testing.assert_allclose(frame.coordinates.inverse(v)[weights], 0.0, atol=1e-4)


@pytest.mark.parametrize("robust", [False, True])
def test_a_misfit_that_meets_every_loss_leaves_the_noise_where_it_is(robust):
    """The residuals of ten rows vanish beside thirteen weights; the errors do not."""
    noise = bl.Noise(correlated=False, robust=robust)
    model = bl.Model(models.chinchilla, read_runs(ragged(10, 0.005, seed=1)), noise=noise, misfit="scales")
    density, frame = at_mode(model)
    sigma = density.parameters["sigma"].place
    assert np.exp(frame.parameters(np.zeros(density.size))[sigma]) > 0.001
    fit = model.fit(seed=1, draws=500, tune=200, progress=False)
    assert fit.summary()["r_hat"].astype(float).max() <= 1.02


def test_a_single_run_beside_a_misfit_has_no_mode_without_errors_of_its_measurements():
    rng, D = np.random.default_rng(1), np.geomspace(1e8, 1e10, 8)
    loss = (1.8 + 0.5 * (D / 1e9) ** -0.3) * np.exp(rng.normal(0, 0.004, 8))
    runs = read_runs(pd.DataFrame({"run": "one", "D": D, "loss": loss}))
    density, frame = at_mode(bl.Model(models.power_law, runs, misfit="scales"))
    at = density.parameters["run_weight"].place
    assert density.parameters.natural(frame.parameters(np.zeros(density.size)))[0][at] < 0.8


def test_a_misfit_costs_at_most_as_much_as_the_law():
    """Even with 40 weights beside six parameters; both times are the best of many, one after the other."""
    runs, best = read_runs(ragged(150, 0.005, seed=2)), [np.inf, np.inf]
    frames = [at_mode(bl.Model(models.chinchilla, runs, misfit=misfit))[1] for misfit in (None, "scales")]
    tables = [frame.tables[FRAME] for frame in frames]
    for _ in range(30):
        for n, (frame, table) in enumerate(zip(frames, tables, strict=True)):
            start, q = time.process_time(), np.zeros(len(frame.center))
            for _ in range(200):
                evaluate(q, table)
            best[n] = min(best[n], time.process_time() - start)
    assert best[1] < 2 * best[0]
