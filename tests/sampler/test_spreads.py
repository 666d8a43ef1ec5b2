"""The coordinates of the spreads of populations: without walls, and with what the data see of them apart."""

import numpy as np
import pytest

from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import conditionals
from tests.sampler.test_density import MODELS, vectors

NAME = "spreads that may be 0"


@pytest.fixture(scope="module")
def coordinates() -> Coordinates:
    density = Density(MODELS[NAME]())
    return Coordinates(density, conditionals(density, vectors(density, 1, 0.0)[0]))


def middle(coordinates: Coordinates) -> np.ndarray:
    """Return coordinates near the mode, every group where its data and its population expect it."""
    u = coordinates.inverse(vectors(coordinates.density, 1, 0.0)[0])
    for family in coordinates.conditionals:
        u[family.entry] = 0.0
    return u


def place(coordinates: Coordinates, name: str) -> int:
    return int(coordinates.density.parameters[f"{name}_sigma"].place.start)


@pytest.mark.parametrize("name", ["E", "C", "gamma"])
def test_a_spread_above_the_middle_of_its_prior_grows_with_its_coordinate(coordinates, name):
    """Equal steps to the right are equal steps of the spread, so that a normal tail stays one."""
    u, at = middle(coordinates), place(coordinates, name)
    steps = np.zeros((3, len(u)))
    steps[:, at] = (3.0, 5.0, 7.0)
    near, middling, far = (np.exp(coordinates.forward(u + step)[0][at]) for step in steps)
    assert far - middling < 1.5 * (middling - near)


def test_what_the_spreads_of_a_term_do_to_its_drop_moves_alone(coordinates):
    """Along the ratio of exponent and amplitude one spread shrinks by orders, and what both do to the drop stays."""
    u = middle(coordinates)
    (family,) = (f for f in coordinates.conditionals if place(coordinates, "C") in f.spread)
    c, gamma, eps = (place(coordinates, n) for n in ("C", "gamma", "eps"))
    r = list(family.spread).index(c)
    effect = np.sqrt((family.slope[:, r] ** 2).mean(axis=0))
    u[c] -= 3.0  # all of them far below their priors' middles, where the coordinates are logarithms
    found = []
    for ratio in (-8.0, -4.0, 0.0, 4.0, 8.0):
        u[gamma] = ratio
        tau = np.exp(coordinates.forward(u)[0][family.spread])
        total = [(effect[j] * tau[j]) ** 2 for j in range(len(tau)) if family.spread[j] in (c, gamma, eps)]
        found.append((tau[r], np.sqrt(sum(total))))
    spreads, totals = np.transpose(found)
    assert spreads[0] / spreads[-1] > 100
    assert np.ptp(totals) < 0.1 * totals.mean()


def test_deviations_are_the_units_of_a_spread_that_vanishes(coordinates):
    """With spreads of 1e-9 the map has finite values and its inverse, and groups differ by coordinate times spread."""
    density, units = coordinates.density, np.array([0.7, -1.2])
    v = vectors(density, 1, 0.0)[0]
    for name in ("C", "gamma", "eps"):
        own, home = density.parameters[name].place.start, density.parameters[f"{name}_mu"].place.start
        v[place(coordinates, name)] = np.log(1e-9)
        v[own : own + 2] = v[home] + 1e-9 * units
    u = coordinates.inverse(v)
    back, jacobian = coordinates.forward(u)
    assert np.isfinite(jacobian) and np.isfinite(coordinates(u)[1]).all()
    np.testing.assert_allclose(back, v, atol=1e-12)
    own = density.parameters["gamma"].place.start
    np.testing.assert_allclose(u[own : own + 2], units, atol=1e-4)
