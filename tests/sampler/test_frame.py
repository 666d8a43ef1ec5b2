"""The affine frame of the sampler: blocks that whiten the curvature, and the density in it."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import SamplingError
from bayeslaw.sampler.axes import Axes
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame, conditionals
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.tables.runs import read_runs
from tests.benchmarks.simulated import study
from tests.sampler.test_density import MODELS, differences, table, vectors

RNG = np.random.default_rng(4)


def dense(axes: Axes) -> np.ndarray:
    """The matrix that the blocks stand for."""
    size = sum(len(rows) for rows, *_ in axes.blocks)
    matrix = np.zeros((size, size))
    for rows, columns, block in axes.blocks:
        matrix[np.ix_(rows, columns)] += block
    return matrix


def arrow(groups: int, k: int, shared: int) -> tuple[np.ndarray, np.ndarray]:
    """A curvature in which groups of coordinates meet only through shared ones, in no order; which are of groups."""
    size = groups * k + shared
    label = RNG.permutation(np.append(np.repeat(np.arange(groups), k), np.full(shared, -1)))
    root = RNG.normal(size=(size, size))
    root[(label[:, None] != label) & (label >= 0)] = 0.0  # a row is a measurement, of one group or of none
    return root.T @ root + 0.1 * np.eye(size), label >= 0


@pytest.mark.parametrize(("groups", "k", "shared"), [(1, 4, 0), (0, 0, 5), (3, 2, 4), (20, 9, 12)])
def test_the_axes_whiten_an_arrow_and_hold_no_zeros(groups, k, shared):
    curvature, own = arrow(groups, k, shared)
    scale = np.exp(RNG.normal(size=len(own)))
    axes = Axes.whitening(curvature, scale, own, np.zeros_like(own))
    whitened = dense(axes).T / scale @ curvature / scale @ dense(axes)
    np.testing.assert_allclose(whitened, np.eye(len(own)), atol=1e-9)
    assert sum(block.size for *_, block in axes.blocks) == groups * k * (k + shared) + shared**2


@pytest.mark.parametrize("name", ["correlated, joint, pooled, shape", "robust", "known errors"])
def test_the_density_in_the_frame_is_that_in_the_coordinates(name):
    density = Density(MODELS[name]())
    v = vectors(density, 1)[0]
    coordinates = Coordinates(density, conditionals(density, v))
    frame = Frame.around(coordinates, coordinates.inverse(v))
    for q in 0.3 * RNG.standard_normal((3, density.size)):
        u = frame.center + dense(frame.axes) @ q
        assert frame(q)[0] == pytest.approx(coordinates(u)[0], rel=1e-9)
        np.testing.assert_allclose(frame.parameters(q), coordinates.forward(u)[0], rtol=1e-9, atol=1e-9)
        expected = differences(lambda x: frame(x)[0], q, 1e-4)
        np.testing.assert_allclose(frame(q)[1], expected, rtol=1e-5, atol=1e-6 * abs(expected).max())


def test_every_pooled_group_has_a_block_of_its_own():
    by = dict.fromkeys(models.dcpt.coefficients, "domain")
    density = Density(bl.Model(models.dcpt, read_runs(table()), by=by, misfit=None))
    v = vectors(density, 1, 0.03)[0]
    coordinates = Coordinates(density, conditionals(density, v))
    _, *groups = Frame.around(coordinates, coordinates.inverse(v)).axes.blocks
    pooled = np.flatnonzero(density.parameters.parents["mu"] >= 0)
    assert sorted(np.concatenate([rows for rows, *_ in groups])) == list(pooled)
    domain = np.zeros(density.size, int)
    domain[density.entries(density.labels)] = density.labels["domain"]
    assert all(len(set(domain[rows])) == 1 for rows, *_ in groups)


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_of_few_runs_do_not_go_along_a_ridge_together(seed):
    """At the joint mode of 12 domains of 18 rows, levels are below 0, where their prior has a mass of 3e-5."""
    few = np.array([0.5e9, 4e9]), np.geomspace(1e9, 2e10, 3), np.array([0.2, 0.5, 0.8])
    by = dict.fromkeys(models.dcpt.coefficients, "domain")
    model = bl.Model(models.dcpt, read_runs(study(12, seed, *few).table), by=by, misfit=None)
    density = Density(model)
    frame = Frame.at_mode(density, estimate(model, regularised=True))
    found = density.parameters.named(frame.parameters(np.zeros(density.size)))
    for name in by:
        prior = density.parameters[f"{name}_mu"].prior.parameters
        assert abs(found[f"{name}_mu"] - prior["mu"]).max() < 2 * prior["sigma"], name
        assert found[name].min() > 0


def alike(groups: int, times: float = 1.0, noise: float = 0.004) -> pd.DataFrame:
    """Runs of groups with one law, but for the first one, whose losses are larger or smaller."""
    sizes, tokens = (x.ravel() for x in np.meshgrid([1e8, 1e9, 5e9], [1e9, 1e10, 1e11]))
    law = 1.7 + 0.5 * (sizes / 1e9) ** -0.35 + 0.5 * (tokens / 1e10) ** -0.35
    tables = [pd.DataFrame({"N": sizes, "D": tokens, "loss": law, "family": f"f{g}"}) for g in range(groups)]
    tables[0]["loss"] *= times
    table = pd.concat(tables, ignore_index=True)
    return table.assign(
        loss=table["loss"] * np.exp(noise * RNG.normal(size=len(table))), run=[f"r{i}" for i in range(len(table))]
    )


@pytest.mark.parametrize("misfit", [None, "scales"])
@pytest.mark.parametrize(("groups", "times"), [(15, 1.0), (2, 0.1), (8, 0.2)])
def test_levels_of_groups_that_are_alike_or_far_apart_have_a_frame(groups, times, misfit):
    """All groups share the other terms, so that a group of far smaller losses has a level below 0."""
    model = bl.Model(models.chinchilla, read_runs(alike(groups, times)), by={"E": "family"}, misfit=misfit)
    density = Density(model)
    frame = Frame.at_mode(density, estimate(model, regularised=True))
    assert np.isfinite(frame(np.zeros(density.size))[0])
    if times == 1:
        levels = density.parameters.named(frame.parameters(np.zeros(density.size)))["E"]
        np.testing.assert_allclose(levels.ravel(), 1.7, atol=0.35)


def test_a_mode_without_curvature_is_one_sentence():
    """Groups that follow one law without any error."""
    model = bl.Model(models.chinchilla, read_runs(alike(8, noise=0.0)), by={"E": "family"}, misfit=None)
    with pytest.raises(SamplingError, match="no finite curvature at its mode: add errors to losses"):
        model.fit(progress=False)
