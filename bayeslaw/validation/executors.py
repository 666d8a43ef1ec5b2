"""Where many calls run: one after another, in processes of this machine, or on the workers of a Dask cluster."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib

from bayeslaw.base.errors import MissingExtra, RefitError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Failure", "run"]

PATIENCE = 5
"""Seconds that a scheduler, and then its first worker, has to answer."""

ONE_AT_A_TIME = threading.Lock()
"""Held during a call: compiling is not safe in several threads, which Dask's workers have by default."""


@dataclass(frozen=True)
class Failure:
    """What a call gave instead of a result: the type of its exception and what it said."""

    error: str
    reason: str

    @classmethod
    def of(cls, exception: BaseException) -> "Failure":
        """Describe an exception in one line."""
        return cls(type(exception).__name__, " ".join(str(exception).split()) or "no reason given")


def run[T](
    work: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], jobs: int, scheduler: str | None
) -> Iterator[tuple[str, T | Failure]]:
    """Yield the label of every task and ``work(label, *arguments)``, or how that failed, as each comes to its end.

    Parameters
    ----------
    work : callable
        Elsewhere than in this process, it and the arguments are pickled by cloudpickle, inside which laws travel by
        value; what cannot be unpickled there is a failure of its call.
    tasks : mapping
        Arguments by label.
    jobs : int
        Calls at a time, in processes of this machine; 1: in this process, -1: one per core.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers are used instead.

    Raises
    ------
    MissingExtra
        A scheduler is given and Dask is not installed.
    RefitError
        The scheduler does not answer, has no worker, one with another bayeslaw, or is lost; or a process of this
        machine was killed.
    """
    calls = {label: (work, label, *arguments) for label, arguments in tasks.items()}
    return _in_processes(calls, jobs) if scheduler is None else _on_cluster(calls, scheduler)


def _attempt[T](call: tuple[Any, ...] | bytes) -> T | Failure:
    """Make a call; an exception is a result, so that the others go on."""
    try:
        with ONE_AT_A_TIME:
            work, *arguments = cloudpickle.loads(call) if isinstance(call, bytes) else call
            result: T = work(*arguments)
        return result
    except Exception as e:
        return Failure.of(e)


def _labelled(label: str, call: tuple[Any, ...] | bytes) -> tuple[str, Any]:
    return label, _attempt(call)


def _in_processes(calls: Mapping[str, tuple[Any, ...]], jobs: int) -> Iterator[tuple[str, Any]]:
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    packed = calls.items() if jobs == 1 else ((label, cloudpickle.dumps(call)) for label, call in calls.items())
    try:
        yield from parallel(joblib.delayed(_labelled)(label, call) for label, call in packed)
    except BrokenProcessPool:
        raise RefitError(
            "a process was killed in the middle of a refit, perhaps for want of memory: start again, with fewer jobs; "
            "refits that were finished are in the folder, if one was given"
        ) from None


def _on_cluster(calls: Mapping[str, tuple[Any, ...]], scheduler: str) -> Iterator[tuple[str, Any]]:
    """Submit everything at once: the scheduler runs the call of a worker that died on another one.

    Not by joblib's Dask backend: joblib 1.6 waits for ever for a task that Dask has given up, as it does when four
    workers died of it.
    """
    with _client(scheduler) as client:
        from distributed import as_completed

        futures = {client.submit(_attempt, cloudpickle.dumps(call), pure=False): label for label, call in calls.items()}
        for future in as_completed(futures, loop=client.loop):
            if future.cancelled():
                raise RefitError(
                    f"the scheduler at {scheduler} was lost: start it and this again; refits that were finished are in "
                    "the folder, if one was given"
                )
            error = future.exception()
            yield futures.pop(future), future.result() if error is None else Failure.of(error)
            future.release()  # or it would be made again when the worker that holds it dies


@contextmanager
def _client(scheduler: str) -> "Iterator[Client]":
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("dask", "Dask") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs is raised here, in one sentence
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as e:
        raise RefitError(
            f"no scheduler answers at {scheduler!r} ({Failure.of(e).reason}): give the address that `dask scheduler` "
            "prints, for example tcp://127.0.0.1:8786"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise RefitError(
                f"the scheduler at {scheduler} has no worker: start one with `dask worker {scheduler} --nthreads 1`"
            ) from None
        own = version("bayeslaw")
        for worker, other in client.run(version, "bayeslaw", on_error="return").items():
            if other != own:
                raise RefitError(f"the worker {worker} has another bayeslaw than this process ({other}): install {own}")
        yield client
