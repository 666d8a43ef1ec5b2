"""Exponential and logarithm of compiled laws: those of the C library within two units in the last place."""

import numpy as np
import pytest
from numba import vectorize

from bayeslaw.sampler import elementary

exp, log = (vectorize(["float64(float64)"])(f.py_func) for f in (elementary.exp, elementary.log))
RNG = np.random.default_rng(0)
EXPONENTS = [RNG.uniform(-w, w, 20_000) for w in (1e-9, 0.5, 40, 745)] + [np.linspace(708, 710, 1001)]
NUMBERS = [10 ** RNG.uniform(-w, w, 20_000) for w in (1e-9, 0.2, 10, 307)] + [10 ** RNG.uniform(-323.5, -307, 20_000)]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:underflow:RuntimeWarning")
@pytest.mark.parametrize("x", EXPONENTS)
def test_exponentials(x):
    found, expected = exp(x), np.exp(x)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    np.testing.assert_array_max_ulp(found[finite], expected[finite], 2)


@pytest.mark.parametrize("x", NUMBERS)
def test_logarithms(x):
    np.testing.assert_array_max_ulp(log(x), np.log(x), 2)


def test_limits():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(log(x), np.log(x))
        np.testing.assert_array_equal(exp(x), np.exp(x))
        assert np.isnan(log(np.array([-1.0]))) and log(np.array([1.0])) == 0.0
