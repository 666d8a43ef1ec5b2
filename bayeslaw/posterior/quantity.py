"""Named posterior draws with dims and units: the answer to every question."""

import html
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked, numbers
from bayeslaw.base.drawing import drawn
from bayeslaw.base.frames import Frame
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import amount, exact, level, with_interval, writer, written
from bayeslaw.base.terminal import wrapped
from bayeslaw.base.words import label, place
from bayeslaw.errors import RangeError

__all__ = ["Censored", "Quantity", "elements", "plain"]

CELLS = 1_000_000
"""Draws of an answer that are summarised at once."""

MOST_ROWS = 60
"""An answer of more rows is shown without its middle."""


def elements(draws: xr.DataArray) -> Iterator[tuple[dict[str, Any], xr.DataArray]]:
    """Yield the labels and the draws of every element."""
    dims = [str(d) for d in draws.dims if d not in SAMPLE]
    for index in np.ndindex(*(draws.sizes[d] for d in dims)):
        one = draws.isel(dict(zip(dims, index, strict=True)))
        yield {d: one[d].item() for d in dims}, one.reset_coords(drop=True)


@dataclass(frozen=True, eq=False, repr=False)
class Quantity:
    """Posterior draws of an answer.

    Parameters
    ----------
    name : str
        The name, an identifier.
    draws : xarray.DataArray
        Dims ``chain``, ``draw`` and those of the question, in `unit`.
    unit : str
        ``"1"`` for shares.
    what : {"mean law", "mean law with its misfit", "new run"}
        Whether it is about the mean of the law or about one new run with its error.
    inputs : mapping
        The question.
    remark : str
        What the answer says of itself, such as how many draws have no optimum.
    cautions : tuple of str
        Reasons against the answer: a fit that did not converge, a place far beyond the runs, a prior that decides.
    """

    name: str
    draws: xr.DataArray
    unit: str
    what: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    cautions: tuple[str, ...] = ()

    _of_many: ClassVar[int] = 10
    """Rows that are left of an answer of more than `MOST_ROWS`."""

    @property
    def note(self) -> str:
        """What a reader has to know, in one text: the remark, then the cautions."""
        return "; ".join([self.remark] * bool(self.remark) + list(self.cautions))

    @checked
    def interval(self, prob: float = CI_PROB) -> xr.Dataset:
        """Return `lower` and `upper` of the equal-tailed interval that holds `prob` of the draws.

        Raises
        ------
        RangeError
            `prob` does not lie between 0 and 1.
        """
        ends = self._by_element(lambda draws: draws.quantile(levels(prob), dim=SAMPLE))
        return xr.Dataset({name: ends.isel(quantile=i, drop=True) for i, name in enumerate(("lower", "upper"))})

    def median(self) -> xr.DataArray:
        """Return the median of the draws."""
        return self._by_element(lambda draws: draws.median(SAMPLE))

    def mean(self) -> xr.DataArray:
        """Return the mean of the draws."""
        return self._by_element(lambda draws: draws.mean(SAMPLE))

    def sd(self) -> xr.DataArray:
        """Return the standard deviation of the draws."""
        return self._by_element(lambda draws: draws.std(SAMPLE))

    def _by_element(self, function: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
        """Return a function of the draws of every element, computed in pieces, which bounds its memory."""
        sizes = {d: n for d, n in self.draws.sizes.items() if d not in SAMPLE}
        longest = max(sizes, key=sizes.__getitem__, default=None)
        if longest is None or self.draws.size <= CELLS:
            return function(self.draws)
        step = max(1, sizes[longest] * CELLS // self.draws.size)
        pieces = [self.draws.isel({longest: slice(n, n + step)}) for n in range(0, sizes[longest], step)]
        return xr.concat(map(function, pieces), longest, coords="minimal", compat="override", join="exact")

    @checked
    def to_frame(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return a tidy table: the dims and their labels as columns, then mean, sd, median, lower, upper."""
        numbers = {"mean": self.mean(), "sd": self.sd(), "median": self.median(), **self.interval(prob)}
        table = xr.Dataset({**numbers, **self._shares_of_draws()})
        labels = [*table.dims, *(c for c in table.coords if c not in table.dims)]
        frame = Frame(table.expand_dims("table").to_dataframe().reset_index()[[*labels, *table.data_vars]])
        frame.attrs |= self._attributes()
        return frame

    @checked
    def summary(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return the numbers of `to_frame`, indexed by the dims, or by the name if there are none."""
        frame = self.to_frame(prob)
        dims = [d for d in self.draws.dims if d not in SAMPLE]
        return frame.set_index(dims) if dims else frame.set_index(pd.Index([self.name]))

    def to_xarray(self) -> xr.Dataset:
        """Return the draws as a Dataset, with units and meaning as attributes."""
        return xr.Dataset({self.name: self.draws.assign_attrs(self._attributes())})

    def _attributes(self) -> dict[str, Any]:
        return {"units": self.unit, "what": self.what, "note": self.note, "cautions": list(self.cautions)}

    @checked
    def text(self, prob: float = CI_PROB) -> xr.DataArray:
        """Return median and interval in words, for every element."""
        low, high = self._ends()
        write = writer(self.unit)
        least = 0.0 if write is amount else 1e-3  # sizes and tokens span factors, of which none is 0

        def words(median: float, lower: float, upper: float, low: float, high: float) -> str:
            def within(value: float, digits: int) -> str:
                sign, edge = (">= ", high) if value >= high else ("<= ", low) if value <= low else ("", value)
                return sign + write(edge, digits)

            return with_interval(median, lower, upper, within, least)

        ends = self.interval(prob)
        text: xr.DataArray = xr.apply_ufunc(
            words, self.median(), ends["lower"], ends["upper"], low, high, vectorize=True, output_dtypes=[object]
        )
        return text

    @checked
    def as_json(self, prob: float = CI_PROB) -> dict[str, Any]:
        """Return the answer and the question's inputs as plain numbers, texts and lists."""
        answer: dict[Any, Any] = {"median": self.median(), **self.interval(prob), **self._shares_of_draws()}
        labels = {str(d): self.draws[d] for d in self.draws.dims if d not in SAMPLE and d in self.draws.coords}
        about = {"name": self.name, "unit": self.unit, "what": self.what, "note": self.note, "prob": prob}
        about |= {"cautions": self.cautions, **self._beside()}
        return {k: plain(v) for k, v in {**about, **answer, **labels, **self.inputs}.items()}

    def plot(self, ax: Any = None, prob: float = CI_PROB) -> Any:
        """Draw a figure; see `bayeslaw.plots.plot_quantity`."""
        return drawn(self, ax=ax, prob=prob)

    def _ends(self) -> tuple[Any, Any]:
        return -np.inf, np.inf

    def _shares_of_draws(self) -> dict[str, xr.DataArray]:
        return {}

    def _beside(self) -> dict[str, Any]:
        """Return results besides the draws, for JSON and the command line."""
        return {}

    @checked
    def about(self, prob: float = CI_PROB) -> str:
        """Return the name, the question and the kind of the interval in words."""
        unit = "" if self.unit == "1" else f" in {self.unit}"
        parts = [self.name.replace("_", " ") + unit + self._asked(), self.what, f"{level(prob)} interval"]
        shares = self._shares_of_draws()
        if shares and all(v.ndim == 0 for v in shares.values()):
            parts.append(", ".join(f"{k} {written(k, v.item())}" for k, v in shares.items()))
        return "; ".join(parts + [self.remark] * bool(self.remark))

    def _asked(self, besides: Collection[str] = ()) -> str:
        """Return the single numbers and texts of the question in words."""
        shown = {k: v for k, v in self.inputs.items() if k not in (*self.draws.dims, *besides) and np.ndim(v) == 0}
        single = {k: np.asarray(v).item() for k, v in shown.items()}
        single = {k: v for k, v in single.items() if isinstance(v, str | float | int)}
        return f" at {place(single)}" if single else ""

    def _answers(self, prob: float) -> str | pd.DataFrame:
        text = self.text(prob).rename("median [interval]").reset_coords(drop=True)
        text = text.assign_coords({d: [label(d, v) for v in text[d].values.tolist()] for d in text.coords})
        return text.to_dataframe() if text.dims else str(text.item())

    def _said(self, prob: float) -> str:
        """Return the answer, what it is and its cautions as text."""
        answer, cautions = self._answers(prob), [f"caution: {caution}" for caution in self.cautions]
        if isinstance(answer, str):
            return wrapped("\n".join([f"{answer}  {self.about(prob)}", *cautions]))
        table = answer.to_string(max_rows=MOST_ROWS, min_rows=self._of_many)
        return "\n".join([table, wrapped("\n".join([self.about(prob), *cautions]))])

    def __repr__(self) -> str:
        try:
            return self._said(CI_PROB)
        except Exception:  # debuggers need a repr that never raises
            return f"{type(self).__name__} {self.name!r}, which cannot be shown: {type(self.draws).__name__}"

    def _repr_html_(self) -> str:
        try:
            answer, about = self._answers(CI_PROB), html.escape(self.about())
            cautions = "".join(f"<p><b>Caution:</b> {html.escape(caution)}</p>" for caution in self.cautions)
            if isinstance(answer, str):
                return f"<p><b>{html.escape(answer)}</b> {about}</p>{cautions}"
            return f"{answer.to_html(border=0, max_rows=MOST_ROWS)}<p>{about}</p>{cautions}"
        except Exception:
            return f"<pre>{html.escape(repr(self))}</pre>"


@dataclass(frozen=True, eq=False, repr=False)
class Censored(Quantity):
    """A quantity searched between two ends: a draw at an end is only known to lie there or beyond.

    Parameters
    ----------
    low, high : float or xarray.DataArray
        The ends, in `unit`.
    """

    low: float | xr.DataArray = 0.0
    high: float | xr.DataArray = 1.0

    @property
    def p_never(self) -> xr.DataArray:
        """Share of the draws censored at the lower end."""
        return (self.draws <= self.low).mean(SAMPLE)

    @property
    def p_always(self) -> xr.DataArray:
        """Share of the draws censored at the upper end."""
        return (self.draws >= self.high).mean(SAMPLE)

    @property
    def p_interior(self) -> xr.DataArray:
        """Share of the draws with a solution between the ends."""
        return ((self.draws > self.low) & (self.draws < self.high)).mean(SAMPLE)

    def _within(self, value: Any, name: str) -> xr.DataArray:
        """Return a number or a 1-d array, all in the searched range, as an array whose dim has the argument's name."""
        values = numbers(value, name)
        if (bad := ~((values >= self.low) & (values <= self.high))).any():
            searched = f"[{exact(self.low)}, {exact(self.high)}]"
            raise RangeError(f"{name} is {exact(values[bad][0])}: give one in the searched range {searched}")
        return xr.DataArray(values, dims=[name] * values.ndim, coords={name: values} if values.ndim else None)

    def _ends(self) -> tuple[Any, Any]:
        return self.low, self.high

    def _shares_of_draws(self) -> dict[str, xr.DataArray]:
        return {"p_never": self.p_never, "p_interior": self.p_interior, "p_always": self.p_always}


def plain(value: Any) -> Any:
    """Return numbers, texts and lists in place of arrays, and None in place of a missing number."""
    if isinstance(value, xr.DataArray | np.ndarray | np.generic | pd.Series | pd.Index):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value
