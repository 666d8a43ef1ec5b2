"""Many calls in this process, in several processes, or on an executor."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import cloudpickle
import joblib
from joblib.externals import loky

from bayeslaw.base.processes import end_with
from bayeslaw.declare.laws import Law
from bayeslaw.errors import RefitError

__all__ = ["Failure", "run"]

ONE_AT_A_TIME = threading.Lock()
"""Held during a call, since compiling is not thread-safe and Dask's workers have several threads."""


@dataclass(frozen=True)
class Failure:
    """Type and message of the exception of a call."""

    error: str
    reason: str

    @classmethod
    def of(cls, exception: BaseException) -> "Failure":
        """Describe an exception in one line."""
        return cls(type(exception).__name__, " ".join(str(exception).split()) or "no reason given")


class _WithLaws(cloudpickle.Pickler):
    """Pickles laws by value, since a worker on another machine may not have the module that they are in."""

    def reducer_override(self, obj: Any) -> Any:
        return object.__reduce__(obj) if isinstance(obj, Law) else super().reducer_override(obj)


def run[T](
    work: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], jobs: int, executor: Executor | None
) -> Iterator[tuple[str, T | Failure]]:
    """Yield the label of every task and ``work(label, *arguments)`` or its `Failure`, in the order of completion.

    See `bayeslaw.evaluate` for jobs and executor. Other processes get laws by value; a call that cannot be unpickled
    is a failure. Closing the iterator cancels the calls that have not begun.

    Raises
    ------
    RefitError
        A process was killed, or the executor was lost or shut down.
    """
    if executor is not None:
        yield from _submitted(work, tasks, executor)
    elif jobs == 1:
        for label, arguments in tasks.items():
            yield label, _attempt((work, label, *arguments))
    elif tasks:
        workers = min(joblib.effective_n_jobs(jobs), len(tasks))
        processes = loky.get_reusable_executor(workers, initializer=end_with, initargs=(os.getpid(),))
        try:
            yield from _submitted(work, tasks, processes)
        except BaseException:
            processes.shutdown(kill_workers=True)
            raise


def _submitted(
    work: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], executor: Executor
) -> Iterator[tuple[str, Any]]:
    futures: dict[Future[Any], str] = {}
    try:
        for label, arguments in tasks.items():
            packed = BytesIO()
            _WithLaws(packed).dump((work, label, *arguments))
            futures[_submit(executor, packed.getvalue())] = label
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenExecutor):
                raise error
            yield futures.pop(future), future.result() if error is None else Failure.of(error)
            del future  # Dask computes a result again if its worker dies while something refers to it
    except (BrokenExecutor, CancelledError) as e:
        what = (
            "a process was killed in the middle of a refit, perhaps for want of memory: start again, with fewer jobs"
            if isinstance(e, BrokenExecutor)
            else "the executor or its scheduler was lost in the middle of the refits: start it and this again"
        )
        raise RefitError(f"{what}; refits that were finished are in the folder, if one was given") from None
    finally:
        for future in futures:
            future.cancel()


def _submit(executor: Executor, packed: bytes) -> Future[Any]:
    try:
        return executor.submit(_attempt, packed, uuid4())  # Dask repeats failures of equal calls
    except BrokenExecutor:
        raise
    except RuntimeError as e:
        raise RefitError(f"the executor accepts no work ({e}): give one that was not shut down") from None


def _attempt(call: tuple[Any, ...] | bytes, _: UUID | None = None) -> Any:
    """Return the result of a call, or its failure."""
    try:
        with ONE_AT_A_TIME:
            work, *arguments = cloudpickle.loads(call) if isinstance(call, bytes) else call
            return work(*arguments)
    except Exception as e:
        return Failure.of(e)
