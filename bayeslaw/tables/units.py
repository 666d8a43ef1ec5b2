"""Units of losses: nats per token, into which bits and perplexities are converted."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pandas as pd

from bayeslaw.base.numbers import short
from bayeslaw.errors import DataError, RangeError, shown, unknown_name
from bayeslaw.tables.reading import refuse

__all__ = ["ERROR_RATE", "NATS", "BytesPerToken", "Unit", "called", "in_nats", "one_unit", "unit_named", "units_of"]

NATS, NATS_PER_BYTE, ERROR_RATE = "nats per token", "nats per byte", "error rate"
"""Units of the losses of runs."""

Unit = Literal["nats", "bits", "bits per byte", "perplexity"]
type BytesPerToken = float | Mapping[str, float]

OTHER_UNITS = {
    "perplexity": re.compile(r"(?<![a-z])(ppl|perplexit(y|ies))(?![a-z])", re.I),
    "bits per byte": re.compile(r"(?<![a-z])(bpb|bits?_?per_?byte)(?![a-z])", re.I),
    "bits": re.compile(r"(?<![a-z])(bits?|bp[ctw])(?![a-z])", re.I),
}
"""How the name of a column says that its losses are not in nats."""


def unit_named(column: str) -> str | None:
    """Return the unit other than nats that the name of a column says, if any."""
    return next((other for other, pattern in OTHER_UNITS.items() if pattern.search(column)), None)


def called(unit: str) -> str:
    """Return the unit of losses as it stands behind a number: 0.05 nats, 0.05 in error rate."""
    return f"in {unit}" if unit == ERROR_RATE else "nats"


def one_unit(units: Mapping[str, tuple[Unit, float]]) -> str:
    """Return the unit of losses read in these units: of bits per byte with one byte per token, nats per byte."""
    return NATS_PER_BYTE if set(units.values()) == {("bits per byte", float(np.log(2)))} else NATS


def units_of(
    losses: Mapping[str, str], unit: Unit | Mapping[str, Unit] | None, bytes_per_token: BytesPerToken | None
) -> dict[str, tuple[Unit, float]]:
    """Return the unit of every loss, and the nats per token of one such unit (1 for a perplexity).

    Parameters
    ----------
    losses : mapping
        ``{validation set: column}``.
    unit, bytes_per_token
        As in `bayeslaw.read_runs`.

    Raises
    ------
    DataError
        A column is named after another unit than nats, and `unit` does not say which it is.
    RangeError
        The bytes per token of a loss in bits per byte are missing, or not above 0.
    UnknownName
        No such unit or validation set.
    """
    given = dict(unit) if isinstance(unit, Mapping) else dict.fromkeys(losses, unit) if unit else {}
    sizes = dict(bytes_per_token) if isinstance(bytes_per_token, Mapping) else dict.fromkeys(losses, bytes_per_token)
    for what, asked in (("unit", given), ("bytes_per_token", sizes)):
        if unknown := [name for name in asked if name not in losses]:
            raise unknown_name(f"validation set (in {what}=)", unknown[0], losses)
    found: dict[str, tuple[Unit, float]] = {}
    for name, column in losses.items():
        chosen = given.get(name, "nats")
        if chosen not in get_args(Unit):
            raise unknown_name("unit of a loss", chosen, get_args(Unit))
        named = unit_named(column)
        if name not in given and named:
            raise DataError(
                f"the column {column!r} looks like {named}: give unit={{{name!r}: {named!r}}}, or 'nats' if it holds "
                "nats per token"
            )
        factor, size = np.log(2) if chosen.startswith("bits") else 1.0, sizes.get(name)
        if chosen == "bits per byte" and isinstance(size, int | float) and 0 < size < np.inf:
            factor *= float(size)
        elif chosen == "bits per byte":
            raise RangeError(
                f"bytes_per_token of {name!r} is {shown(size)}: losses in bits per byte need it, a number above 0, for "
                "example 4.3"
            )
        found[name] = chosen, float(factor)
    return found


def in_nats(
    frame: pd.DataFrame, losses: Mapping[str, str], units: Mapping[str, tuple[Unit, float]]
) -> tuple[pd.DataFrame, str]:
    """Return a table with its losses, and their known errors, in nats per token; and a note on what was converted."""
    notes = []
    for name, (unit, factor) in units.items():
        if unit == "nats":
            continue
        loss, sd = f"{name}_loss", f"{name}_loss_sd"
        values = frame[loss].rename(losses[name])
        if unit == "perplexity":
            refuse(values, values <= 1, "a perplexity lies above 1")
            converted, per_unit, how = np.log(values), 1 / values, "the logarithm of the perplexity"
        else:
            converted, per_unit = values * factor, pd.Series(factor, values.index)
            how = f"{unit} times {short(factor, 4)}"
        frame = frame.assign(**{loss: converted}, **({sd: frame[sd] * per_unit} if sd in frame else {}))
        notes.append(f"{losses[name]} converted to nats per token, {how}")
    return frame, "; ".join(notes)
