"""Where many calls run: one after another in this process, in several processes, or wherever an executor runs them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import cloudpickle
import joblib
from joblib.externals import loky

from bayeslaw.errors import RefitError

__all__ = ["Failure", "run"]

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
    work: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], jobs: int, executor: Executor | None
) -> Iterator[tuple[str, T | Failure]]:
    """Yield the label of every task and ``work(label, *arguments)``, or how that failed, as each comes to its end.

    See `bayeslaw.evaluate` for jobs and executor. Elsewhere than in this process, laws arrive by value, and what cannot
    be unpickled is a failure of its call. Calls that have not begun are cancelled when the iterator is closed.

    Raises
    ------
    RefitError
        A process was killed, or the executor gave the calls up.
    """
    if executor is not None:
        yield from _submitted(work, tasks, executor)
    elif jobs == 1:
        for label, arguments in tasks.items():
            yield label, _attempt((work, label, *arguments))
    elif tasks:
        processes = loky.get_reusable_executor(min(joblib.effective_n_jobs(jobs), len(tasks)))
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
            packed = cloudpickle.dumps((work, label, *arguments))
            futures[executor.submit(_attempt, packed, uuid4())] = label  # Dask would give an equal call's old failure
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenExecutor):
                raise error
            yield futures.pop(future), future.result() if error is None else Failure.of(error)
            del future  # Dask makes a result that is still referred to again when the worker that holds it dies
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


def _attempt(call: tuple[Any, ...] | bytes, _: UUID | None = None) -> Any:
    """Make a call; an exception is a result, so that the others go on."""
    try:
        with ONE_AT_A_TIME:
            work, *arguments = cloudpickle.loads(call) if isinstance(call, bytes) else call
            return work(*arguments)
    except Exception as e:
        return Failure.of(e)
