"""What long work is doing, and how far it is, on standard error."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "bar", "shows_bars", "working"]


@dataclass(frozen=True)
class Bar:
    """A progress bar, or one that is not shown; see `bar`."""

    shown: "tuple[Progress, TaskID] | None" = None

    def step(self, what: str | None = None) -> None:
        """Advance by one; `what` renames the work."""
        self._update(advance=1, description=what)

    def at(self, done: int, what: str) -> None:
        """Set how many steps are done, and the work."""
        self._update(completed=done, description=what)

    def more(self, number: int) -> None:
        """Add to the total."""
        if self.shown:
            display, task = self.shown
            display.update(task, total=(display.tasks[task].total or 0) + number)

    def _update(self, **change: Any) -> None:
        if self.shown:
            display, task = self.shown
            display.update(task, **change)


def shows_bars() -> bool:
    """Return whether bars are seen: on a terminal, or in a notebook whose widgets spare it a line for every step."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def bar(what: str, total: int, done: int = 0, *, show: bool) -> Iterator[Bar]:
    """Show a bar, in a terminal or a notebook with widgets, and yield its handle.

    Parameters
    ----------
    what : str
        What is counted.
    total, done : int
        Number of steps, and of those done before; the speed counts only the others.
    show : bool
        False hides the bar.
    """
    if not (show and shows_bars()):
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    elapsed, left = TimeElapsedColumn(), TimeRemainingColumn()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), elapsed, "left", left)
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=math.inf) as display:
        task = display.add_task(what, total=total, completed=done)
        display.advance(task, 0)  # starts the clock of the speed
        yield Bar((display, task))


@contextmanager
def working(what: str, *, show: bool = True) -> Iterator[None]:
    """Say on a terminal what is being done, as long as it takes."""
    if not (show and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ..."):
        yield
