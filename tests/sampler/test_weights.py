"""The weights of a misfit follow the law: on the ridge along which they trade with it, their coordinates stay."""

import numpy as np
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
    moved = with_their_mode(moved)
    far = np.abs(moved - start)[weights].max()
    left = np.abs(coordinates.inverse(moved) - coordinates.inverse(start))[weights].max()
    assert far > 0.1 and left < 0.1 * far
