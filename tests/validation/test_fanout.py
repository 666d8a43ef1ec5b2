"""Refits on a real Dask cluster, in processes and threads: some fail, some are killed, what was finished is kept."""

import multiprocessing
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app
from bayeslaw.cli.scoring import _client
from bayeslaw.errors import ArgumentError, RangeError, RefitError
from bayeslaw.validation import refits
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


@pytest.fixture
def executor(cluster: Any) -> Iterator[Executor]:
    """What a user makes of the cluster."""
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client.get_executor()


def study(law: bl.Law = models.chinchilla) -> bl.Model:
    """Nine simulated runs."""
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 4e9], [1e9, 1e10, 4e10]], names=["N", "D"]).to_frame(index=False)
    noise = np.exp(0.004 * np.random.default_rng(0).standard_normal(len(rows)))
    rows["loss"] = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH) * noise
    return bl.Model(law, bl.read_runs(rows), noise=bl.Noise(correlated=False), misfit=None)


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
def test_workers_of_a_cluster_give_the_same(executor):
    model, by_size = study(), bl.splits.by("N")
    here = bl.evaluate(model, by_size, method="mle")
    there = bl.evaluate(model, by_size, method="mle", executor=executor)
    pd.testing.assert_frame_equal(here.rows, there.rows)
    pd.testing.assert_frame_equal(here.runs, there.runs)
    assert here.failed.empty and there.failed.empty and len(there.folds) == 3


def test_calibration_on_a_cluster(executor):
    settings: dict[str, Any] = {"draws": 50, "tune": 100, "chains": 2, "cores": 1}
    here = bl.calibrate(study(), 2, **settings)
    there = bl.calibrate(study(), 2, executor=executor, **settings)
    pd.testing.assert_frame_equal(here.rows, there.rows)


def test_a_law_of_ones_own_travels_with_its_model(executor):
    @bl.law(
        title="a floor and a power of size",
        source="this test",
        equation="E + A / N^alpha",
        covariates=models.chinchilla.covariates,
        coefficients=models.chinchilla.coefficients,
    )
    def own(N, D, /, *, E, A, alpha, B, beta):
        return E + A * N**-alpha + B * D**-beta

    found = bl.evaluate(study(own), bl.splits.largest("N"), method="mle", executor=executor)
    assert found.failed.empty and found.summary()["mae"].item() < 0.1


def test_a_killed_worker_loses_nothing_and_its_fold_is_made_again(executor, tmp_path):
    work, names = waiting(tmp_path), ["quick 1", "quick 2", "slow", "quick 3"]
    files = {name: tmp_path / f"{name}.json" for name in names}
    tasks = {name: (name == "slow",) for name in names}
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(finish, work, tasks, files, executor=executor)
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


def test_what_a_worker_cannot_load_fails_with_its_reason(executor, monkeypatch):
    monkeypatch.setitem(sys.modules, "only_here", only_here := ModuleType("only_here"))
    exec("def helper(): pass", vars(only_here))

    def work(label: str, _: Any) -> dict[str, Any]:
        return {"fold": label}

    tasks = {"helped": (vars(only_here)["helper"],), "alone": (None,)}
    done, failed = finish(work, tasks, dict.fromkeys(tasks), executor=executor)
    assert [d["fold"] for d in done] == ["alone"]
    assert failed.to_numpy().tolist() == [["helped", "ModuleNotFoundError", "No module named 'only_here'"]]


def test_a_scheduler_that_is_lost_is_said(tmp_path):
    with ThreadPoolExecutor(1) as thread:
        with distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as local:
            client = distributed.Client(local, set_as_default=False)
            queued = {"patient": (True,)}, {"patient": None}
            running = thread.submit(finish, waiting(tmp_path), *queued, executor=client.get_executor())
            until(lambda: local.scheduler.tasks)
        with pytest.raises(
            RefitError, match="the executor or its scheduler was lost in the middle of the refits: start it"
        ):
            running.result(timeout=60)
        client.close()


def test_the_page_on_dask_shows_what_works(cluster, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/how-to/dask.md").read_text(encoding="utf-8")
    page = page.replace("tcp://127.0.0.1:8786", cluster.scheduler_address)
    monkeypatch.chdir(tmp_path)
    bl.Model(models.cmr_ratio, bl.read_runs(bl.datasets.load("cmr-table2")), misfit=None).fit(method="mle").save(
        "fit.nc"
    )
    (command,) = re.findall(r"^bayeslaw (evaluate .*)$", page, re.M)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    kept = {f: f.stat().st_mtime_ns for f in Path("folds").iterdir()}
    names: dict[str, Any] = {}
    (session,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(session, names)
    assert names["found"].failed.empty and f"{len(names['found'].folds)} times" in page
    assert {f: f.stat().st_mtime_ns for f in Path("folds").iterdir()} == kept, "the same folds, not made again"


def test_a_fold_that_kills_its_workers_fails_alone_and_is_tried_again(cluster, executor, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 1)

    def work(label: str, deadly: bool) -> dict[str, Any]:
        if deadly and not (tmp_path / "healed").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return {"fold": label}

    tasks = {"deadly": (True,), "harmless": (False,)}
    done, failed = finish(work, tasks, dict.fromkeys(tasks), executor=executor)
    assert [d["fold"] for d in done] == ["harmless"]
    assert failed["fold"].tolist() == ["deadly"] and failed["error"].tolist() == ["KilledWorker"]
    assert "all those workers died" in failed["reason"].item()
    (tmp_path / "healed").touch()
    done, failed = finish(work, tasks, dict.fromkeys(tasks), executor=executor)
    assert [d["fold"] for d in done] == ["deadly", "harmless"] and failed.empty


def test_a_scheduler_that_cannot_be_used_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study().fit(method="mle").save("fit.nc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def said(address: str) -> str:
        result = CliRunner().invoke(app, ["evaluate", "fit.nc", "--by", "N", "-o", "s.csv", "--dask", address])
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
        return result.stderr

    start = time.monotonic()
    for address in (nobody, "nonsense", "no://way"):
        assert said(address).startswith(f"bayeslaw: no scheduler answers at '{address}' (")
    assert time.monotonic() - start < 30
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert said(nobody) == "bayeslaw: the package Dask is not installed: run pip install 'bayeslaw[dask]'\n"
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_a_scheduler_without_workers_is_said(capsys):
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as idle,
        _client(idle.scheduler_address) as client,
    ):
        assert isinstance(client.get_executor(), Executor)
    assert "the scheduler has no worker: start one with `dask worker tcp://" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- threads, processes
def test_an_executor_and_jobs_are_one_too_many():
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(RangeError, match="the executor decides how many refits run at a time: leave jobs out"),
    ):
        bl.evaluate(study(), bl.splits.by("N"), executor=threads, jobs=2)
    address: Any = "tcp://127.0.0.1:8786"
    with pytest.raises(ArgumentError, match="executor is 'tcp://127.0.0.1:8786': give an executor, for example Client"):
        bl.evaluate(study(), bl.splits.by("N"), executor=address)


def test_threads_take_turns(tmp_path):
    def work(label: str) -> dict[str, Any]:
        (tmp_path / "busy").touch(exist_ok=False)
        time.sleep(0.02)
        (tmp_path / "busy").unlink()
        return {"fold": label}

    tasks: dict[str, tuple[Any, ...]] = {str(i): () for i in range(8)}
    with ThreadPoolExecutor(4) as threads:
        done, failed = finish(work, tasks, dict.fromkeys(tasks), executor=threads)
    assert len(done) == 8 and failed.empty


def test_an_interrupt_cancels_what_has_not_begun(tmp_path, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    work, names = waiting(tmp_path), ["first", "second", "third"]
    monkeypatch.setattr(refits, "replacing", interrupt)
    with ThreadPoolExecutor(1) as thread:
        with pytest.raises(KeyboardInterrupt):
            finish(work, {n: (n == "second",) for n in names}, {n: tmp_path / n for n in names}, executor=thread)
        (tmp_path / "go").touch()
    assert not workers_of("third", tmp_path)


def test_an_executor_that_was_shut_down_is_one_sentence():
    with ThreadPoolExecutor(1) as closed:
        pass
    with pytest.raises(RefitError, match="the executor accepts no work .*shutdown.*: give one that was not shut down"):
        finish(lambda label: {}, {"a": ()}, {"a": None}, executor=closed)


@pytest.mark.slow  # starts processes twice
@pytest.mark.parametrize("own", [True, False])
def test_a_killed_process_loses_nothing_that_was_finished(own, tmp_path):
    def work(label: str, deadly: bool) -> dict[str, Any]:
        if deadly:
            while not (tmp_path / "quick.json").exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"fold": label, "rows": [], "fit": {}}

    def there() -> dict[str, Any]:
        return {"executor": ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))} if own else {"jobs": 2}

    files = {name: tmp_path / f"{name}.json" for name in ("deadly", "quick")}
    with pytest.raises(RefitError, match="a process was killed in the middle of a refit.*start again, with fewer jobs"):
        finish(work, {"deadly": (True,), "quick": (False,)}, files, **there())
    assert files["quick"].exists() and not files["deadly"].exists()
    done, failed = finish(work, {"deadly": (False,), "quick": (True,)}, files, **there())
    assert [d["fold"] for d in done] == ["deadly", "quick"] and failed.empty
