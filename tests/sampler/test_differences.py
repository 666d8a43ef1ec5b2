"""Second derivatives by differences: coordinates that do not meet are moved at once, and nothing is lost by it."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.differences import curvature, scales
from bayeslaw.sampler.frame import Frame, conditionals, first_guess
from bayeslaw.sampler.least_squares import estimate
from tests.sampler.test_density import MODELS, TRUTH, table, vectors

ALL = dict.fromkeys(models.dcpt.coefficients, "domain")
OWN = bl.positive(0.3, spread=0.3, dims="domain")


def pooled(**settings: Any) -> Callable[[], bl.Model]:
    """A model of three domains."""
    more = table()[lambda t: t["domain"] == "code"].assign(domain="news")
    return lambda: bl.Model(models.dcpt, bl.read_runs(pd.concat([table(), more])), **settings, misfit=None)


SEVERAL = {
    "every coefficient": (pooled(by=ALL), 3),
    "every coefficient, the paper's shape": (pooled(by=ALL, monotone="paper"), 3),
    "independent errors": (pooled(by=ALL, noise=bl.Noise(correlated=False, joint=False), monotone=None), 3),
    "the level alone": (pooled(by={"E": "domain"}), 3),
    "all but the level": (pooled(by={k: "domain" for k in ALL if k != "E"}), 1),
    "an amplitude shared": (pooled(by={k: "domain" for k in ALL if k != "B"}), 1),
    "a coefficient by size": (pooled(by={**ALL, "B": "N"}), 1),
    "a separate exponent": (pooled(by={k: "domain" for k in ALL if k != "alpha"}, priors={"alpha": OWN}), 1),
}
"""Models, and how many parts their coordinates have."""


def near_the_mode(density: Density) -> tuple[Coordinates, np.ndarray]:
    v = vectors(density, 1, 0.03)[0]
    coordinates = Coordinates(density, conditionals(density, v))
    return coordinates, coordinates.inverse(v)


@pytest.mark.parametrize("name", SEVERAL)
def test_differences_at_once_are_those_one_by_one(name):
    make, parts = SEVERAL[name]
    coordinates, at = near_the_mode(Density(make()))
    assert len(set(coordinates.parts)) - 1 == parts
    alone = np.full(len(at), -1)
    scale = scales(coordinates, at, alone)
    np.testing.assert_allclose(scales(coordinates, at, coordinates.parts), scale, rtol=1e-5)
    one_by_one = curvature(coordinates, at, scale, alone)
    at_once = curvature(coordinates, at, scale, coordinates.parts)
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-5 * abs(one_by_one).max())


@pytest.mark.parametrize("name", [*MODELS, *SEVERAL])
def test_coordinates_of_different_parts_never_meet(name):
    make = MODELS[name] if name in MODELS else SEVERAL[name][0]
    coordinates, at = near_the_mode(Density(make()))
    parts = coordinates.parts
    one_by_one = curvature(coordinates, at, np.full(len(at), 0.1), np.full(len(at), -1))
    for one, other in combinations(set(parts[parts >= 0]), 2):
        assert abs(one_by_one[np.ix_(parts == one, parts == other)]).max() < 1e-9 * abs(one_by_one).max()


def test_a_single_part_is_worked_at_as_before():
    coordinates, at = near_the_mode(Density(pooled(by={"B": "N", "C": "N"})()))
    assert set(coordinates.parts) == {-1, 0}
    found = curvature(coordinates, at, np.ones(len(at)), coordinates.parts)
    assert np.array_equal(found, curvature(coordinates, at, np.ones(len(at)), np.full(len(at), -1)))


def domains(number: int) -> pd.DataFrame:
    """Two sizes, two shares and two checkpoints of every domain."""
    levels: list[Any] = [[f"domain {i}" for i in range(number)], [5e8, 4e9], [0.2, 0.8], [1e9, 1e10]]
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "domain_share", "D"]).to_frame(index=False)
    loss = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], **TRUTH)
    rows["domain_loss"] = loss * np.exp(np.random.default_rng(0).normal(0, 0.01, len(rows)))
    return rows


def test_the_frame_of_two_hundred_domains_takes_as_many_gradients_as_that_of_two(monkeypatch):
    calls: list[np.ndarray] = []
    called = Coordinates.__call__

    def counted(self: Coordinates, u: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(u)
        return called(self, u)

    monkeypatch.setattr(Coordinates, "__call__", counted)
    counts = []
    for number in (2, 200):
        model = bl.Model(models.dcpt, bl.read_runs(domains(number)), by=ALL, misfit=None)
        density = Density(model)
        v = first_guess(density, estimate(model, regularised=True, starts=1))
        coordinates = Coordinates(density, conditionals(density, v))
        calls.clear()
        Frame.around(coordinates, coordinates.inverse(v))
        counts.append(len(calls))
    assert counts[0] == counts[1] < 200


def test_the_locations_of_a_population_are_placed_once_for_all_groups_alike():
    for number in (2, 20):
        coordinates = Coordinates(Density(bl.Model(models.dcpt, bl.read_runs(domains(number)), by=ALL, misfit=None)))
        terms = len(coordinates.amplitudes) + 1
        assert coordinates.arrays["block_shape"][-1, 0] == terms * (number + 1)
