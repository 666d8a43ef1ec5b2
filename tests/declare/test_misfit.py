"""A law that may bend: it is the law where nothing bends, and its bands hold where the law alone is wrong."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import LawError, UnknownName
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density

TRUTH = {"E": 1.7, "A": 0.4, "alpha": 0.35, "B": 0.35, "beta": 0.35}
BENT = bl.with_misfit(models.chinchilla)
SIZES, TOKENS = np.geomspace(1e8, 4e9, 4), np.geomspace(2e9, 5e10, 6)


def curved(N: np.ndarray, D: np.ndarray) -> np.ndarray:
    """Losses that bend in tokens by 1.5 % of the loss at a factor of ten from the reference."""
    reference = models.chinchilla.reference()
    loss = models.chinchilla(N / reference["N"], D / reference["D"], **TRUTH)
    bent: np.ndarray = loss * np.exp(0.015 * np.log10(D / reference["D"]) ** 2)
    return bent


def test_without_bends_it_is_the_law_itself():
    none = {k: 0.0 for k in BENT.coefficients if k.startswith("bend_")}
    assert list(none) == ["bend_N", "bend_D", "bend_N_N", "bend_N_D", "bend_D_D"]
    assert BENT(2.0, 3.0, **TRUTH, **none) == models.chinchilla(2.0, 3.0, **TRUTH)


def test_a_bend_is_a_monomial_in_decades_from_the_reference():
    bends = {"bend_N": 0.0, "bend_D": 0.01, "bend_N_N": 0.0, "bend_N_D": 0.02, "bend_D_D": 0.03}
    ratio = BENT(100.0, 10.0, **TRUTH, **bends) / models.chinchilla(100.0, 10.0, **TRUTH)
    assert np.log(ratio) == pytest.approx(0.01 + 0.02 * 2 + 0.03)


def test_shares_run_from_minus_one_to_one_and_named_arrays_broadcast():
    bent = bl.with_misfit(models.dcpt, ["share"])
    own = {k: 1.0 for k in models.dcpt.coefficients}
    share = xr.DataArray([0.0, 0.5, 1.0], dims="share")
    ratio = bent(1.0, 1.0, share, **own, bend_share=0.01, bend_share_share=0.02) / models.dcpt(1.0, 1.0, share, **own)
    np.testing.assert_allclose(np.log(ratio), [0.01, 0.0, 0.03], atol=1e-12)


def test_the_shape_is_asked_only_where_the_law_may_not_bend():
    assert bl.with_misfit(models.dcpt, ["D"]).falls_in == tuple(k for k in models.dcpt.falls_in if k != "D")
    assert BENT.falls_in == ()


def test_what_cannot_bend():
    with pytest.raises(UnknownName, match="covariate of chinchilla"):
        bl.with_misfit(models.chinchilla, ["tokens"])
    with pytest.raises(LawError, match="has a misfit already"):
        bl.with_misfit(BENT)
    with pytest.raises(LawError, match="shares of a mixture"):
        bl.with_misfit(models.data_mixing, ["weight"])


@pytest.fixture(scope="module")
def fits() -> dict[str, bl.Fit]:
    rng = np.random.default_rng(3)
    N, D = (x.ravel() for x in np.meshgrid(SIZES, TOKENS))
    losses = curved(N, D) * np.exp(rng.normal(0, 0.001, len(N)))
    runs = bl.read_runs(pd.DataFrame({"run": [f"run {i}" for i in range(len(N))], "N": N, "D": D, "loss": losses}))
    sampling: dict[str, Any] = {"draws": 300, "tune": 300, "chains": 2, "seed": 1, "progress": False}
    return {law.name: bl.Model(law, runs).fit(**sampling) for law in (models.chinchilla, BENT)}


def test_the_sampler_moves_it_exactly(fits):
    density = Density(fits["chinchilla_misfit"].model)
    coordinates = Coordinates(density)
    for v in density.parameters.draw(3, np.random.default_rng(5)):
        u = coordinates.inverse(v)
        np.testing.assert_allclose(coordinates.forward(u)[0], v, atol=1e-8)
        _, gradient = coordinates(u)
        for i in range(len(u)):
            step = np.zeros(len(u))
            step[i] = 1e-6
            slope = (coordinates(u + step)[0] - coordinates(u - step)[0]) / 2e-6
            assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_bands_widen_where_the_law_is_wrong(fits):
    D = 10 * TOKENS[-1]
    truth, held = curved(SIZES, np.full(4, D)), {}
    for name, fit in fits.items():
        ends = fit.predict(N=list(SIZES), D=D).interval(0.89)
        held[name] = int(((ends["lower"].squeeze() <= truth) & (truth <= ends["upper"].squeeze())).sum())
    assert held == {"chinchilla": 0, "chinchilla_misfit": 4}


def test_windows_and_rates_bend_in_units_of_their_own():
    window = bl.with_misfit(models.upsampling_loss)
    c = {k: 0.1 for k in models.upsampling_loss.coefficients} | {k: 0.0 for k in window.coefficients if "bend" in k}
    c["bend_duration"] = 0.01
    assert window(3.0, **c) / models.upsampling_loss(3.0, **{k: c[k] for k in models.upsampling_loss.coefficients}) == (
        pytest.approx(np.exp(0.01 * (2 * 0.3 - 1)))
    )
    rates = bl.with_misfit(models.lr_annealing)
    c = {k: 0.5 for k in models.lr_annealing.coefficients} | {k: 0.01 for k in rates.coefficients if "bend" in k}
    assert np.isfinite(rates(2.0, 0.0, **c)) and np.isfinite(rates(2.0, -0.5, **c))
