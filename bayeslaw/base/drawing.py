"""The function that draws answers: `bayeslaw` sets it, since answers import no plots."""

from collections.abc import Callable
from typing import Any

__all__ = ["draw_with", "drawn"]

_DRAWERS: list[Callable[..., Any]] = []


def draw_with(drawer: Callable[..., Any]) -> None:
    """Let a function draw all answers from now on; it takes the answer and options, and returns axes."""
    _DRAWERS.append(drawer)


def drawn(what: Any, **options: Any) -> Any:
    """Draw a figure and return its axes."""
    return _DRAWERS[-1](what, **options)
