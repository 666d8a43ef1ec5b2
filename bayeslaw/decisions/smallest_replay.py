"""Smallest replay: the share of the general corpus that keeps its loss within a limit, and what it costs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact, short
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import CriticalRatio, critical_ratio
from bayeslaw.errors import RangeError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, elements

__all__ = ["Replay", "smallest_replay"]

SURE = 0.9
"""Probability with which the answer by itself says how much replay is enough."""

MOST_NAMED = 6
"""Elements of an answer that its remark names."""


@dataclass(frozen=True, eq=False, repr=False)
class Replay(Censored):
    """The smallest replay of every draw: at the lower end none is needed, at the upper end none of the range is enough.

    Parameters
    ----------
    ratio : CriticalRatio
        The same answer as the largest safe domain share, 1 minus the replay.
    """

    ratio: CriticalRatio = field(kw_only=True)

    @property
    def p_never(self) -> xr.DataArray:
        """Share of the draws in which no replay of the range is enough."""
        return self.ratio.p_never

    @property
    def p_always(self) -> xr.DataArray:
        """Share of the draws in which the least replay of the range is enough: 0, where the law goes there."""
        return self.ratio.p_always

    @checked
    def enough(self, prob: float = SURE) -> xr.DataArray:
        """Return the smallest replay at which the loss stays within the limit with a probability; nan if none does.

        Parameters
        ----------
        prob : float
            The probability.

        Raises
        ------
        RangeError
            `prob` does not lie between 0 and 1.
        """
        if not 0 < prob < 1:
            raise RangeError(f"prob is {prob}: give a probability between 0 and 1")
        found: xr.DataArray = self.draws.quantile(prob, dim=SAMPLE, method="inverted_cdf").drop_vars("quantile")
        return found.where(found < self.high)

    def tokens(self, prob: float = SURE) -> xr.DataArray:
        """Return the factor on the tokens of the stream that `enough` costs, for the same tokens of the new corpus."""
        return 1 / (1 - self.enough(prob))

    def probability_safe(self, replay: Any) -> xr.DataArray:
        """Return the probability that a replay is enough.

        Parameters
        ----------
        replay : float or 1-d array
            One share of the general corpus, or several (the dim ``replay`` of the result).

        Raises
        ------
        RangeError
            `replay` lies outside the searched range.
        """
        return ((self.draws <= self._within(replay, "replay")) & (self.draws < self.high)).mean(SAMPLE)

    def _asked(self, besides: Collection[str] = ()) -> str:
        return self.ratio._asked()

    def _beside(self) -> dict[str, Any]:
        return {f"enough_with_{exact(SURE)}": self.enough(), "times_the_tokens": self.tokens()}


def smallest_replay(
    fit: Posterior,
    *,
    N: Any = None,
    D: Any = None,
    U: Any = None,
    domain: Any = None,
    baseline: Any = None,
    max_rise: float | None = None,
    max_increase: float | None = None,
    eval: str | Sequence[str] | None = None,
    together: bool = False,
    new_run: bool = False,
    seed: int = 0,
    labels: Mapping[str, Any] | None = None,
) -> Replay:
    """Return the smallest share of the general corpus at which its loss stays within a limit above the baseline.

    It is `critical_ratio` seen from the other side: 1 minus the largest safe domain share, of every draw.

    Parameters
    ----------
    fit, N, D, U, domain, baseline, max_rise, max_increase, eval, together, new_run, seed, labels
        As in `critical_ratio`, by tolerance; `D` are the tokens of the stream, replay included.

    Returns
    -------
    Replay
        `enough` is the smallest replay with a probability, `tokens` what it costs: 1 / (1 - replay) times the tokens.

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        As `critical_ratio`.
    """
    ratio = critical_ratio(
        fit,
        N=N,
        D=D,
        U=U,
        domain=domain,
        baseline=baseline,
        max_rise=max_rise,
        max_increase=max_increase,
        eval=eval,
        together=together,
        new_run=new_run,
        seed=seed,
        labels=labels,
    )
    replay = Replay(
        "smallest_replay",
        1 - ratio.draws,
        "1",
        ratio.what,
        ratio.inputs,
        "",
        ratio.cautions,
        low=1 - ratio.high,
        high=1 - ratio.low,
        ratio=ratio,
    )
    return replace(replay, remark=_remark(replay))


def _remark(replay: Replay) -> str:
    """Return what is enough, and what it costs, of a few elements."""
    found = []
    for at, share in elements(replay.enough().expand_dims(chain=1, draw=1)):
        value, where = float(np.squeeze(share)), f"{place(at)}: " if at else ""
        enough = f"no replay up to {short(replay.high)} is enough with probability {exact(SURE)}"
        if np.isfinite(value):
            cost = f"{short(1 / (1 - value), 4)} times the tokens for the same tokens of the new corpus"
            enough = f"a replay of {short(value)} is enough with probability {exact(SURE)}, at {cost}"
        found.append(where + enough)
    return "; ".join(found[:MOST_NAMED])
