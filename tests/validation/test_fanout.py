"""Refits on a real Dask cluster and in processes: some fail, some are killed, and nothing that was finished is lost."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.errors import MissingExtra, RangeError, RefitError
from bayeslaw.validation.refits import finish

distributed = pytest.importorskip("distributed")

TRUTH = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local:
        yield local


@pytest.fixture
def cluster(started: Any) -> Any:
    """A scheduler and two workers, processes of their own, which are started again when they are killed."""
    until(lambda: len(started.scheduler.workers) == 2)
    return started


def study(law: bl.Law = models.chinchilla) -> bl.Model:
    """Nine simulated runs."""
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 4e9], [1e9, 1e10, 4e10]], names=["N", "D"]).to_frame(index=False)
    noise = np.exp(0.004 * np.random.default_rng(0).standard_normal(len(rows)))
    rows["loss"] = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH) * noise
    return bl.Model(law, bl.read_runs(rows), noise=bl.Noise(correlated=False))


def waiting(folder: Path) -> Callable[..., dict[str, Any]]:
    """Work that says who does it, and goes on when the file of its label is there; travels by value."""

    def work(label: str, patient: bool) -> dict[str, Any]:
        (folder / f"{label} by {os.getpid()}").touch()
        while patient and not (folder / "go").exists():
            time.sleep(0.05)
        return {"fold": label, "rows": [], "fit": {}}

    return work


def workers_of(label: str, folder: Path) -> list[int]:
    return [int(f.name.split()[-1]) for f in folder.glob(f"{label} by *")]


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# --------------------------------------------------------------------------------------------------------------- Dask
def test_workers_of_a_cluster_give_the_same(cluster):
    model, by_size = study(), bl.splits.by("N")
    here = bl.evaluate(model, by_size, method="mle")
    there = bl.evaluate(model, by_size, method="mle", scheduler=cluster.scheduler_address)
    pd.testing.assert_frame_equal(here.rows, there.rows)
    pd.testing.assert_frame_equal(here.runs, there.runs)
    assert here.failed.empty and there.failed.empty and len(there.folds) == 3


def test_calibration_on_a_cluster(cluster):
    settings: dict[str, Any] = {"draws": 50, "tune": 100, "chains": 2, "cores": 1}
    here = bl.calibrate(study(), 2, **settings)
    there = bl.calibrate(study(), 2, scheduler=cluster.scheduler_address, **settings)
    pd.testing.assert_frame_equal(here.rows, there.rows)


def test_a_law_of_ones_own_travels_with_its_model(cluster):
    @bl.law(
        title="a floor and a power of size",
        source="this test",
        equation="E + A / N^alpha",
        covariates=models.chinchilla.covariates,
        coefficients=models.chinchilla.coefficients,
    )
    def own(N, D, /, *, E, A, alpha, B, beta):
        return E + A * N**-alpha + B * D**-beta

    found = bl.evaluate(study(own), bl.splits.largest("N"), method="mle", scheduler=cluster.scheduler_address)
    assert found.failed.empty and found.summary()["mae"].item() < 0.1


def test_a_killed_worker_loses_nothing_and_its_fold_is_made_again(cluster, tmp_path):
    work, names = waiting(tmp_path), ["quick 1", "quick 2", "slow", "quick 3"]
    files = {name: tmp_path / f"{name}.json" for name in names}
    tasks = {name: (name == "slow",) for name in names}
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(finish, work, tasks, files, 1, cluster.scheduler_address, False)
        until(lambda: workers_of("slow", tmp_path) and all(files[n].exists() for n in names if n != "slow"))
        written = {f: f.stat().st_mtime_ns for f in files.values() if f.exists()}
        (victim,) = workers_of("slow", tmp_path)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(workers_of("slow", tmp_path)) == 2)
        assert not running.done() and not files["slow"].exists()
        (tmp_path / "go").touch()
        done, failed = running.result(timeout=60)
    assert [d["fold"] for d in done] == names and failed.empty
    assert all(f.stat().st_mtime_ns == when for f, when in written.items()), "what was finished stayed"
    assert all(len(workers_of(name, tmp_path)) == 1 for name in names if name != "slow"), "and was not made again"


def test_a_fold_that_kills_its_workers_fails_alone(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 1)

    def work(label: str, deadly: bool) -> dict[str, Any]:
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"fold": label}

    tasks = {"deadly": (True,), "harmless": (False,)}
    done, failed = finish(work, tasks, dict.fromkeys(tasks), 1, cluster.scheduler_address, False)
    assert [d["fold"] for d in done] == ["harmless"]
    assert failed["fold"].tolist() == ["deadly"] and failed["error"].tolist() == ["KilledWorker"]
    assert "all those workers died" in failed["reason"].item()


def test_what_a_worker_cannot_load_fails_with_its_reason(cluster, monkeypatch):
    monkeypatch.setitem(sys.modules, "only_here", only_here := ModuleType("only_here"))
    exec("def helper(): pass", vars(only_here))

    def work(label: str, _: Any) -> dict[str, Any]:
        return {"fold": label}

    tasks = {"helped": (vars(only_here)["helper"],), "alone": (None,)}
    done, failed = finish(work, tasks, dict.fromkeys(tasks), 1, cluster.scheduler_address, False)
    assert [d["fold"] for d in done] == ["alone"]
    assert failed.to_numpy().tolist() == [["helped", "ModuleNotFoundError", "No module named 'only_here'"]]
    monkeypatch.setattr("bayeslaw.validation.executors.version", lambda _: f"0.{os.getpid()}")
    with pytest.raises(RefitError, match=rf"has another bayeslaw than this process .*: install 0.{os.getpid()}"):
        finish(work, tasks, dict.fromkeys(tasks), 1, cluster.scheduler_address, False)


def test_a_scheduler_that_cannot_be_used_is_said_before_any_refit(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    for address in (nobody, "nonsense", "no://way"):
        with pytest.raises(RefitError, match=f"no scheduler answers at '{address}' .*that `dask scheduler` prints"):
            bl.evaluate(study(), bl.splits.by("N"), scheduler=address)
    assert time.monotonic() - start < 30
    with pytest.raises(RangeError, match="up to the scheduler's workers: leave jobs out"):
        bl.evaluate(study(), bl.splits.by("N"), scheduler=nobody, jobs=2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"this needs Dask: pip install 'bayeslaw\[dask\]'"):
        bl.evaluate(study(), bl.splits.by("N"), scheduler=nobody)


def test_a_scheduler_without_workers_is_said(monkeypatch):
    monkeypatch.setattr("bayeslaw.validation.executors.PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as idle,
        pytest.raises(RefitError, match=r"has no worker: start one with `dask worker tcp://"),
    ):
        bl.evaluate(study(), bl.splits.by("N"), scheduler=idle.scheduler_address)


# ---------------------------------------------------------------------------------------------------------- processes
@pytest.mark.slow  # starts processes twice
def test_a_killed_process_loses_nothing_that_was_finished(tmp_path):
    def work(label: str, deadly: bool) -> dict[str, Any]:
        if deadly:
            while not (tmp_path / "quick.json").exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"fold": label, "rows": [], "fit": {}}

    files = {name: tmp_path / f"{name}.json" for name in ("deadly", "quick")}
    with pytest.raises(RefitError, match="a process was killed in the middle of a refit.*start again, with fewer jobs"):
        finish(work, {"deadly": (True,), "quick": (False,)}, files, 2, None, False)
    assert files["quick"].exists() and not files["deadly"].exists()
    done, failed = finish(work, {"deadly": (False,), "quick": (True,)}, files, 2, None, False)
    assert [d["fold"] for d in done] == ["deadly", "quick"] and failed.empty
