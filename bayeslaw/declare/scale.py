"""The scale of losses, which the default priors of levels and amplitudes follow.

Laws state these priors in nats, for losses of text. Losses in bits per byte or relative to a first loss are other
numbers; the same priors, multiplied, mean the same for them.
"""

import math
from typing import Any

import numpy as np

from bayeslaw.base.numbers import exact
from bayeslaw.declare.priors import Prior
from bayeslaw.errors import LawError

__all__ = ["LOG_NATS", "NATS", "TEXT", "USUAL", "default_scale", "in_scale"]

TEXT = 3.0
"""Median loss of the runs, in nats, for which the priors of laws are meant."""

USUAL = (2.0, 4.5)
"""Median losses, a factor of 1.5 around `TEXT`, for which they stand as they are."""

NATS, LOG_NATS, PER_NAT = "nats", "log nats", "1 / nats"
"""Units of coefficients that are losses, their logarithms and their inverses."""

SCALED: dict[str, tuple[str, ...]] = {
    "Normal": ("mu", "sigma"),
    "HalfNormal": ("sigma",),
    "Uniform": ("lower", "upper"),
}
"""Parameters that grow with the quantity."""

INVERSE = {"Gamma": "beta", "Exponential": "lam"}


def default_scale(losses: Any) -> float:
    """Return the factor on priors in nats for these losses: 1 near those of text, else their median over `TEXT`."""
    known = np.asarray(losses, float)
    median = float(np.median(known[np.isfinite(known)])) if np.isfinite(known).any() else TEXT
    return 1.0 if USUAL[0] <= median <= USUAL[1] else float(f"{median / TEXT:.2g}")


def in_scale(prior: Prior, unit: str, scale: float) -> Prior:
    """Return a prior in nats, log nats or 1 / nats for losses that are `scale` times as large.

    Raises
    ------
    LawError
        It is not known which parameters of the distribution grow with the quantity.
    """
    if scale == 1 or NATS not in unit:
        return prior
    p = dict(prior.parameters)
    kind, factor = prior.distribution, 1 / scale if unit == PER_NAT else scale
    if any(isinstance(value, Prior) for value in p.values()):
        kind = "a prior of priors"
    if kind == "LogNormal" or (kind == "Normal" and unit == LOG_NATS):
        p["mu"] = p["mu"] + math.log(factor)
    elif kind in SCALED and unit != LOG_NATS:
        p |= {name: factor * p[name] for name in SCALED[kind] if name in p}
    elif kind in INVERSE and unit != LOG_NATS:
        p[INVERSE[kind]] = p[INVERSE[kind]] / factor
    else:
        raise LawError(
            f"the prior {prior} in {unit} cannot be multiplied by {exact(scale)} to follow the losses of the runs: "
            "give a prior of your own for it, or loss_scale=1"
        )
    return Prior(prior.distribution, dims=prior.dims, centered=prior.centered, transform=prior.transform, **p)
