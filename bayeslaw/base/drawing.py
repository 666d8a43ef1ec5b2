"""Figures of answers. Answers do not know the plots, which stand above them: `bayeslaw` says who draws."""

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
