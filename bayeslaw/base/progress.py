"""The bar of long work, on standard error: what is done, of how much, and the time left."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Bar", "bar"]


@dataclass(frozen=True)
class Bar:
    """A bar that is shown; see `bar`."""

    display: Progress
    task: TaskID

    def step(self, what: str | None = None) -> None:
        """Count one more, and call the work something else if asked."""
        self.display.update(self.task, advance=1, description=what)

    def more(self, number: int) -> None:
        """Say that there is more to do than was known."""
        self.display.update(self.task, total=(self.display.tasks[self.task].total or 0) + number)


@contextmanager
def bar(what: str, total: int, done: int = 0, *, show: bool) -> Iterator[Bar]:
    """Show a bar, in a terminal or a notebook that has widgets, and yield what moves it.

    Parameters
    ----------
    what : str
        What is counted.
    total, done : int
        How many there are, and how many of them are done; the speed is that of the others.
    show : bool
        False: no bar.
    """
    console = Console(stderr=True)
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "left",
        TimeRemainingColumn(),
    )
    widgets = console.is_jupyter and find_spec("ipywidgets") is not None  # without, every step is an output of its own
    shown = show and (console.is_terminal or widgets)
    with Progress(*columns, console=console, disable=not shown, speed_estimate_period=math.inf) as display:
        task = display.add_task(what, total=total, completed=done)
        display.advance(task, 0)  # from when the speed is measured
        yield Bar(display, task)
