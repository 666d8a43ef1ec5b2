"""The weights of a misfit follow the law: on the ridge along which they trade with it, their coordinates stay."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
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
    for name, change in {"E": -0.05, "alpha": 0.2, "beta": -0.2}.items():
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
