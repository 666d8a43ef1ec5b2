"""The sampler as a process: what interrupts it, and what its draws depend on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bayeslaw as bl
from bayeslaw.errors import LawError, SamplingError
from bayeslaw.sampler.kernels import kernel
from bayeslaw.sampler.sampling import _in_processes
from tests.sampler.test_speed import model, study


@pytest.fixture(scope="module")
def small() -> bl.Model:
    return model(study(3, 6, 5))


def test_draws_depend_on_the_seed_and_not_on_the_cores(small):
    one, two = (small.fit(draws=10, tune=20, chains=3, cores=k, seed=3, progress=False) for k in (1, 2))
    np.testing.assert_array_equal(one.posterior["E"], two.posterior["E"])
    other = small.fit(draws=10, tune=20, chains=3, cores=2, seed=4, progress=False)
    assert not np.isin(other.posterior["E"], one.posterior["E"]).any()


INTERRUPTED = """
import signal
from tests.sampler.test_speed import model, study
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
small = model(study(3, 6, 5))
small.fit(draws=10, tune=10, chains=1, cores=1, progress=False)
print("sampling", flush=True)
try:
    small.fit(draws=20_000, tune=20_000, chains=2, cores={cores}, progress=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_an_interrupt_ends_sampling_at_once(cores):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", INTERRUPTED.format(cores=cores)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "sampling\n"
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        start = time.perf_counter()
        assert process.stdout.readline() == "interrupted\n"
        assert time.perf_counter() - start < 15


def test_a_killed_process_is_one_sentence():
    with pytest.raises(SamplingError, match="was killed.*start again"):
        _in_processes(lambda number: os.kill(os.getpid(), signal.SIGKILL), [np.array([0]), np.array([1])])


def test_what_goes_wrong_in_a_process_is_told():
    def run(number: int) -> None:
        raise ArithmeticError(f"chain {number}")

    with pytest.raises(SamplingError, match="ArithmeticError: chain 0"):
        _in_processes(run, [np.array([0]), np.array([1])])


def test_a_law_that_cannot_be_compiled_is_named():
    import pytensor.tensor as pt

    @bl.law(
        title="t",
        source="s",
        equation="e",
        covariates={"D": bl.Covariate("tokens", "tokens")},
        coefficients={"E": bl.Coefficient(bl.positive(1.5, 0.3), "nats", "level", "simulated")},
    )
    def odd(D, /, *, E):
        return E + pt.gammaln(D)

    with pytest.raises(LawError, match="law odd uses GammaLn, which the sampler cannot compile"):
        kernel(odd)
