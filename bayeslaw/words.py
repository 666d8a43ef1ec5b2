"""How numbers and places are written in checks, figures and reports."""

from collections.abc import Mapping
from typing import Any

__all__ = ["amount", "place"]

COUNTS = ("N", "D", "step")
"""Columns that are counted, and written the way people say them."""


def amount(number: float) -> str:
    """Write parameters or tokens the way people say them: 922720 is 923 k."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g} {letter}"
    return f"{number:.3g}"


def place(columns: Mapping[Any, Any]) -> str:
    """Write where something was measured: ``{"N": 922720, "domain_share": 0.5}`` is N 923 k, domain share 0.5."""
    return ", ".join(
        f"{str(name).replace('_', ' ')} "
        + (amount(value) if name in COUNTS else f"{value:.3g}" if isinstance(value, float) else str(value))
        for name, value in columns.items()
    )
