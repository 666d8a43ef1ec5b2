"""The sampler as a process: what interrupts it, and what its draws depend on."""

import ctypes
import gc
import multiprocessing
import signal
import subprocess
import sys
import time
import weakref
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import nutpie.compile_pymc
import pytest

import bayeslaw as bl
from bayeslaw.errors import LawError, SamplingError
from bayeslaw.sampler import sampling
from bayeslaw.sampler.kernels import kernel
from bayeslaw.sampler.nuts import compiled_model
from tests.sampler.test_speed import model, study


@pytest.fixture(scope="module")
def small() -> bl.Model:
    return model(study(3, 6, 5))


def test_draws_depend_on_the_seed_and_not_on_the_cores(small):
    one, two = (small.fit(draws=10, tune=20, chains=3, cores=k, seed=3, progress=False) for k in (1, 2))
    np.testing.assert_array_equal(one.posterior["E"], two.posterior["E"])
    other = small.fit(draws=10, tune=20, chains=3, cores=2, seed=4, progress=False)
    assert not np.isin(other.posterior["E"], one.posterior["E"]).any()


@pytest.mark.parametrize(
    ("asked", "divergences", "accepted"),
    [(None, 0, [0.95]), (None, 1, [0.95, 0.99]), (None, 20, [0.95]), (0.9, 1, [0.9])],
    ids=["none diverges", "one of 100", "one of five", "as asked for"],
)
def test_few_divergences_are_sampled_again_with_smaller_steps(small, monkeypatch, asked, divergences, accepted):
    tried, drawn = [], sampling._drawn

    def diverging(*given: Any, **settings: Any) -> Any:
        q, found = drawn(*given, **settings)
        tried.append(settings["target_accept"])
        found["diverging"] = np.arange(100).reshape(2, 50) < (divergences if len(tried) == 1 else 0)
        return q, found

    monkeypatch.setattr(sampling, "_drawn", diverging)
    fit = small.fit(draws=50, tune=20, chains=2, seed=3, target_accept=asked, progress=False)
    assert tried == accepted and fit.settings["target_accept"] == accepted[-1]


INTERRUPTED = """
import signal
from bayeslaw.sampler.nuts import compiled_model
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


def test_what_goes_wrong_in_a_chain_is_told(small, monkeypatch):
    class Sampler:
        def wait(self) -> None:
            raise RuntimeError("all initialization points failed")

    monkeypatch.setattr(nutpie, "sample", lambda *args, **settings: Sampler())
    with pytest.raises(SamplingError, match=r"early \(RuntimeError: all init.*\): see whether .* another seed"):
        small.fit(draws=10, tune=10, chains=2, progress=False)


def test_threads_call_the_density_without_python_and_through_it_alike(small, monkeypatch):
    compiled = small.fit(draws=30, tune=60, chains=2, seed=3, progress=False)

    def other(**fields: object) -> None:
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(nutpie.compile_pymc, "CompiledPyMCModel", other)
    called = small.fit(draws=30, tune=60, chains=2, seed=3, progress=False)
    np.testing.assert_allclose(called.posterior["E"], compiled.posterior["E"], rtol=1e-6)


def test_the_installed_nutpie_takes_the_address():
    """If this fails, nutpie has changed the fields of its model: see bayeslaw/sampler/nuts.py."""
    made = compiled_model(np.zeros(4, np.int64), 2, lambda seed: np.zeros(2))
    assert isinstance(made, nutpie.compile_pymc.CompiledPyMCModel)


def test_a_fit_leaves_no_threads_to_a_forked_process(small, monkeypatch):
    made, sample = [], nutpie.sample

    def kept(*args: Any, **settings: Any) -> Any:
        sampler = sample(*args, **settings)
        made.append(weakref.ref(sampler))
        return sampler

    monkeypatch.setattr(nutpie, "sample", kept)
    gc.disable()  # a forked process would collect what is left, and wait for threads that it does not have
    try:
        small.fit(draws=10, tune=10, chains=2, progress=False)
        assert made[0]() is None
    finally:
        gc.enable()


def sample_in_a_daemon(pipe: Connection) -> None:
    fit = model(study(3, 6, 5)).fit(draws=10, tune=20, chains=2, cores=2, seed=3, progress=False)
    pipe.send(fit.posterior["E"].values)


def test_a_worker_of_a_pool_samples_as_any_other_process(small):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=sample_in_a_daemon, args=(sender,), daemon=True)
    process.start()
    assert receiver.poll(120)
    own = small.fit(draws=10, tune=20, chains=2, cores=2, seed=3, progress=False)
    np.testing.assert_array_equal(receiver.recv(), own.posterior["E"])


KILLED = """
import sys, time
from bayeslaw.validation.executors import run
def work(label):
    open(sys.argv[1] + label, "w").close()
    time.sleep(600)
print("ready", flush=True)
list(run(work, {"a": (), "b": ()}, 2, None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are listed as on Linux")
def test_no_refit_goes_on_when_the_parent_is_killed(tmp_path):
    root = Path(__file__).parents[2]

    def children(parent: int) -> list[int]:
        of_threads = Path(f"/proc/{parent}/task").glob("*/children")
        return [int(child) for file in of_threads for child in file.read_text().split()]

    def running(process: int) -> bool:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "begun")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        until = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(1)
        started = children(process.pid)
        process.kill()
    until = time.monotonic() + 10
    while left := [child for child in started if running(child)]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.1)


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


def test_a_law_that_takes_one_covariate_from_another_is_compiled():
    """Inside nested loops both covariates are read as they were given."""

    @bl.law(
        title="t",
        source="s",
        equation="e",
        covariates={name: bl.Covariate("nats", "a loss") for name in ("old", "new")},
        coefficients={"w": bl.Coefficient(bl.real(0.5, sd=0.5), "1", "weight", "simulated")},
    )
    def between(old, new, /, *, w):
        return old + w * (new - old)

    address = kernel(between)
    shape, given = np.array([1, 2, 1]), np.array([2.0, 3.0, 4.0])
    weight, filled = np.array([0.5]), np.empty((2, 1, 2, 1))
    called = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
    called(shape.ctypes.data, given.ctypes.data, weight.ctypes.data, filled.ctypes.data)
    np.testing.assert_array_equal(filled.ravel(), [3.0, 3.5, 2.0, 1.0])
