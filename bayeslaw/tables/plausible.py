"""Plausible ranges of the numbers in tables and questions: counts, shares, losses."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import MOST_STEPS
from bayeslaw.base.numbers import exact
from bayeslaw.base.words import counted
from bayeslaw.errors import RangeError
from bayeslaw.tables.mixtures import PREFIX
from bayeslaw.tables.reading import refuse

__all__ = ["check_count", "check_ranges", "check_steps", "doubtful_losses"]

COUNT_RANGES = {
    "N": (1e3, 1e18, "parameters"),
    "D": (1e3, 1e21, "tokens"),
    "U": (1e3, 1e21, "unique tokens"),
    "domain_tokens": (1e3, 1e21, "tokens"),
}
"""Smallest and largest plausible count, and its unit."""

LOSS_RANGE = (1e-6, 100.0)
"""Range of a loss in nats per token; a random guess among a million words costs 14."""

MOST_NATS = 12.0
"""A random guess among 160,000 words costs as many: losses above are rare, and perplexities are not."""


def check_ranges(frame: pd.DataFrame, losses: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuse numbers of a runs table that lie outside their plausible range.

    Parameters
    ----------
    frame : DataFrame
        With canonical names; losses in nats per token.
    losses, known : mapping
        Names of the columns of losses and of known errors in error sentences, by validation set.
    """
    for name, called in losses.items():
        values = frame[f"{name}_loss"].rename(called)
        refuse(values, values <= 0, "a loss in nats per token is above 0")
        between = f"losses in nats per token lie between {exact(LOSS_RANGE[0])} and {exact(LOSS_RANGE[1])}"
        remedy = "unit='perplexity', 'bits' or 'bits per byte' converts others"
        refuse(values, values.notna() & ~values.between(*LOSS_RANGE), f"{between}; {remedy}")
    for name, called in known.items():
        loss, values = frame[f"{name}_loss"], frame[f"{name}_loss_sd"].rename(called)
        wrong = "the standard deviation of a loss lies between 0 and half of the loss"
        refuse(values, loss.notna() & ~values.between(0, loss / 2), f"{wrong}; correct it or leave the column out")
    for name in (c for c in frame.columns if c in ("domain_share", "duration") or c.startswith(PREFIX)):
        values, percent = frame[name], frame[name].between(1, 100, inclusive="right")
        refuse(values, percent, "shares lie in [0, 1]; divide the column by 100 if it is in percent")
        refuse(values, values.notna() & ~values.between(0, 1), "shares lie in [0, 1]; correct it")
    for name in ("N", "D", "U"):
        if name in frame:
            values, (low, high, unit) = frame[name], COUNT_RANGES[name]
            refuse(values, (values < 0) | ((values == 0) & (name != "D")), f"give the number of {unit}, above 0")
            few = values.between(0, low, inclusive="neither")
            refuse(values, few, f"give {unit}, not billions (multiply by 1e9)")
            refuse(values, values > high, f"no run has as many {unit}; correct it")
    if "step" in frame:
        check_steps(frame["step"])


def doubtful_losses(frame: pd.DataFrame, losses: Mapping[str, str]) -> str:
    """Return a note on losses that are more than a guess at random costs; `losses` as in `check_ranges`."""
    notes = []
    for name, called in losses.items():
        if n := int((frame[f"{name}_loss"] > MOST_NATS).sum()):
            notes.append(
                f"{called} is above {exact(MOST_NATS)} nats in {counted(n, 'row')}, more than a guess at random "
                "costs: if these are perplexities, give unit='perplexity'"
            )
    return "; ".join(notes)


def check_steps(step: pd.Series) -> None:
    """Refuse steps that no run has, such as tokens."""
    refuse(step, step > MOST_STEPS, "no run has as many steps of the optimiser; map tokens to D")


def check_count(name: str, values: np.ndarray) -> None:
    """Refuse a number of parameters or tokens of a question that was given in billions."""
    low, _, unit = COUNT_RANGES.get(name, (0.0, np.inf, ""))
    if (few := (values > 0) & (values < low)).any():
        raise RangeError(f"{name} is {exact(values[few].ravel()[0])}: give {unit}, not billions (multiply by 1e9)")
