"""One answer of several models: the draws of each, as many as its weight in the stacked prediction."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked, named_values
from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.base.numbers import as_share, short
from bayeslaw.base.words import counted
from bayeslaw.errors import ArgumentError, BayeslawError, DataError, RangeError, shown, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.spec.specification import Specification
from bayeslaw.validation import splits
from bayeslaw.validation.comparison import compare
from bayeslaw.validation.evaluation import evaluate

__all__ = ["Stack", "known_to", "stacked", "weights_of"]

PARTS = 10
"""Parts of the runs that are left out in turn, where single runs cannot be left out by weights."""

LEAST_RUNS = 2
"""Runs that all models count, from which on refits can leave one out."""

REFIT: dict[str, Any] = {"draws": 200, "chains": 2}
"""Draws of these refits."""

MOST_APART = 1.0
"""Sums of half intervals by which the medians of models that agree may lie apart."""

SETTINGS = ("N", "D", "U", "domain_share", "domain")
"""Arguments of a question that are columns of runs."""

COUNTS = 0.01
"""Weight from which on a model's answer counts as one of those that should agree."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The answers of several models to one question, and their weights; a model without weight gives none.

    Attributes
    ----------
    weights : mapping
        Weights of the models, with a sum of 1.
    answers : mapping
        Their answers, within the range that all of them search.
    """

    weights: Mapping[str, float]
    answers: Mapping[str, Quantity]

    @classmethod
    def of(
        cls,
        entries: Mapping[str, Posterior],
        question: Callable[[Any], Quantity],
        weights: Mapping[str, float] | None = None,
    ) -> "Stack":
        """Ask the models; the arguments are those of `stacked`."""
        if len(entries) < 2:
            raise RangeError(
                "stacked needs at least two models: give them by name, bl.stacked({'a': a, 'b': b}, question)"
            )
        share = _shares(weights_of(entries) if weights is None else weights, entries)
        answers = {name: _answer(name, entries[name], question) for name, weight in share.items() if weight > 0}
        return cls.alike(share, answers)

    @classmethod
    def alike(cls, weights: Mapping[str, float], answers: Mapping[str, Quantity]) -> "Stack":
        """Return answers with their weights; RangeError if they do not mean the same."""
        return cls(weights, _alike({name: answer for name, answer in answers.items() if weights[name] > 0}))

    @property
    def mixture(self) -> Quantity:
        """The answer: each model gives as many of its draws, evenly taken, as its weight says."""
        size = max(answer.draws.sizes["chain"] * answer.draws.sizes["draw"] for answer in self.answers.values())
        ends = np.round(np.cumsum([self.weights[name] for name in self.answers]) * size).astype(int)
        parts = [
            _evenly(answer.draws, int(count))
            for answer, count in zip(self.answers.values(), np.diff(ends, prepend=0), strict=True)
            if count
        ]
        draws = xr.concat(parts, "draw", join="exact", coords="minimal", compat="override").expand_dims(chain=[0])
        first = next(iter(self.answers.values()))
        kind = Censored if isinstance(first, Censored) else Quantity
        about = {field.name: getattr(first, field.name) for field in fields(kind)}
        own = tuple(f"{name}: {caution}" for name, answer in self.answers.items() for caution in answer.cautions)
        about |= {
            "draws": draws.assign_coords(draw=np.arange(draws.sizes["draw"])).transpose(*SAMPLE, ...),
            "remark": "stacked: " + ", ".join(f"{as_share(self.weights[name])} {name}" for name in self.answers),
            "cautions": (*([] if self.agree else [self.agreement]), *own),
        }
        return kind(**about)

    @cached_property
    def farthest(self) -> tuple[float, str, str]:
        """How far apart the medians of two models that count lie, over the halves of their intervals; and which two."""
        counted = [name for name in self.answers if self.weights[name] >= COUNTS]
        pairs = combinations(counted, 2)
        return max(((_apart(self.answers[a], self.answers[b]), a, b) for a, b in pairs), default=(0.0, "", ""))

    @property
    def agree(self) -> bool:
        """Whether the answers of the models that count lie within each other's intervals."""
        return self.farthest[0] <= MOST_APART

    @property
    def agreement(self) -> str:
        """How far apart the models are, in a sentence, with the remedy where that is too far."""
        most, one, other = self.farthest
        if not one:
            return "one law has all the weight"
        said = f"the medians of {one} and {other} lie {short(most, 2)} times the sum of their half intervals apart"
        remedy = "; the laws disagree beyond their intervals, and the mixture holds what each says: a run where they "
        return said if self.agree else f"{said}{remedy}differ would tell which is right"


@checked
def stacked(
    entries: Mapping[str, Posterior],
    question: Callable[[Any], Quantity],
    *,
    weights: Mapping[str, float] | None = None,
) -> Quantity:
    """Answer a question with several models at once, where none of them is clearly the best.

    The answer is a mixture: each model gives as many of its draws, evenly taken, as its weight says. Answers that were
    searched in different ranges are taken within what these have in common, its ends censored.

    Parameters
    ----------
    entries : mapping of str to Fit
        At least two.
    question : callable
        Takes a fit and returns its answer, for example ``lambda fit: fit.predict(N=7e9, D=1e11)``.
    weights : mapping of str to float, optional
        Weights of the models; by default those of the stacked prediction of runs that are left out (Yao et al. 2018;
        see `weights_of`), which the first fit keeps: the next question to the same fits does not find them again. With
        ``weights=`` nothing is refitted; those of your own refits are ``dict(bl.compare(evaluations)["weight"])``.

    Returns
    -------
    Quantity
        With one chain, and the cautions of every model that counts, first among them that they disagree beyond their
        intervals; a `Censored` where all answers are.

    Raises
    ------
    ArgumentError, DataError, RangeError, UnknownName
        The question is no function of a fit; the fits have fewer than two measured runs in common, and no weights are
        given; as in `bayeslaw.compare`; a weight is negative, all are 0, or it belongs
        to no model; the answers have different units or labels, or searched ranges that do not meet.

    Examples
    --------
    >>> bl.stacked({"added": a, "joined": b}, lambda fit: fit.allocation(flops=1e21))  # doctest: +SKIP
    """
    return Stack.of(entries, question, weights).mixture


def weights_of(entries: Mapping[str, Posterior]) -> dict[str, float]:
    """Return the weights of models in the stacked prediction of runs that are left out.

    They are those of `bayeslaw.compare` where it can leave out every run by weights (PSIS) and all models count the
    same measurements. Elsewhere all are refitted without each of ten parts of the runs, on the measurements that all
    count. The first fit keeps them for the next question to the same fits.
    """
    first = next(iter(entries.values()))
    asked = (weights_of, *entries.values())
    if asked not in first.kept:
        found = _weights(entries)
        first.kept[asked] = [found[name] for name in entries]
    return dict(zip(entries, first.kept[asked], strict=True))


def _weights(entries: Mapping[str, Posterior]) -> dict[str, float]:
    common = _common(entries)
    runs = common["run"].nunique()
    if not runs:
        raise _too_few(entries, runs)
    refits = all(fit.method == "nuts" for fit in entries.values())
    alike = all(len(common) == len(fit.model.design.log_loss) for fit in entries.values())
    if alike or not refits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # unreliable weights are replaced, or told by `compare` itself
            table = compare(entries)
        if not refits or not (table["bad_runs"] > 0).any():
            return dict(table["weight"])
    if runs < LEAST_RUNS:
        raise _too_few(entries, runs)
    found = {}
    for name, fit in entries.items():
        model = _on(fit.model, common)
        found[name] = evaluate(model, splits.runs(min(PARTS, runs)), seed=int(fit.settings.get("seed", 0)), **REFIT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of refits with few draws
        return dict(compare(found)["weight"])


def _too_few(entries: Mapping[str, Posterior], runs: int) -> DataError:
    return DataError(
        f"{', '.join(map(repr, entries))} have {counted(runs, 'measured run')} in common, and their weights need at "
        f"least {LEAST_RUNS}: give fits of the same runs, or weights="
    )


def known_to(fit: Posterior, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a question without the columns that a law does not have and all its runs share."""
    table, law, groups = fit.model.runs.table, fit.model.law, fit.model.design.groups

    def shared(name: str, value: Any) -> bool:
        unknown = name in SETTINGS and name in table and name not in law.columns and name not in groups
        return unknown and bool((table[name] == value).all()) if np.ndim(value) == 0 else False

    return {name: value for name, value in question.items() if not shared(name, value)}


def _cells(model: Specification) -> pd.DataFrame:
    """Return run, place along its path, and validation set of every measurement in the likelihood."""
    d = model.design
    row, ev = d.cells["row"], d.cells["eval"]
    at = d.rows[d.law.path].values[row] if d.law.path in d.rows else 0.0
    return pd.DataFrame({"run": d.rows["run"].values[row], "at": at, "eval": np.asarray(d.evals, object)[ev]})


def _common(entries: Mapping[str, Posterior]) -> pd.DataFrame:
    """Return the measurements that all models count."""
    first, *others = (_cells(fit.model) for fit in entries.values())
    for cells in others:
        first = first.merge(cells)
    return first


def _on(model: Specification, cells: pd.DataFrame) -> Specification:
    """Return a model of some of its measurements."""
    runs = model.runs.sorted_along(model.law.path)
    own = _cells(model)
    kept = own.merge(cells.assign(kept=True), how="left")["kept"].notna().to_numpy()
    row, ev = (model.design.cells[k][kept] for k in ("row", "eval"))
    counted = np.zeros(model.design.measured.shape, bool)
    counted[row, ev] = True
    table = runs.table.assign(
        **{c: runs.table[c].where(own) for c, own in zip(runs.loss_columns, counted.T, strict=True)}
    )
    return replace(model, runs=replace(runs, table=table).select(counted.any(axis=1)))


def _answer(name: str, fit: Posterior, question: Callable[[Any], Quantity]) -> Quantity:
    try:
        answer = question(fit)
        if not isinstance(answer, Quantity):
            raise TypeError(f"it returned {shown(answer)}")
    except BayeslawError:
        raise
    except Exception as e:  # whatever a user's function raises
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:120]
        raise ArgumentError(
            f"question={shown(question)} has no answer of {name!r} ({reason}): give a function of a fit such as lambda "
            "fit: fit.predict(N=7e9, D=1e11)"
        ) from None
    return answer


def _shares(weights: Mapping[Any, float], entries: Mapping[str, Posterior]) -> dict[str, float]:
    """Return the weights of the models, with a sum of 1."""
    found = named_values(weights, "weights", "weights={'added': 0.4, 'joined': 0.6}")
    for name in found:
        if name not in entries:
            raise unknown_name("model (in weights=)", name, entries)
    values = {name: float(found.get(name, 0.0)) for name in entries}
    if not (all(0 <= w < np.inf for w in values.values()) and sum(values.values()) > 0):
        raise RangeError(f"weights is {dict(found)}: give weights of at least 0, some of them above")
    return {name: w / sum(values.values()) for name, w in values.items()}


def _alike(answers: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """Return the answers within the range that all of them search; they must have the same units and labels."""
    (first, one), *others = answers.items()
    for name, other in others:
        unlike = one.unit != other.unit or one.what != other.what
        here, there = (answer.draws.isel(dict.fromkeys(SAMPLE, 0), drop=True) for answer in (one, other))
        if unlike or here.sizes != there.sizes or not here.coords.equals(there.coords):
            raise RangeError(
                f"the answers of {first!r} and {name!r} have different units or labels: ask both the same question"
            )
    censored = {name: answer for name, answer in answers.items() if isinstance(answer, Censored)}
    if len(censored) < len(answers):
        return dict(answers)
    low, high = one.low, one.high  # type: ignore[attr-defined]
    for answer in censored.values():
        low, high = np.maximum(low, answer.low), np.minimum(high, answer.high)
    if not (low < high).all() if isinstance(low < high, xr.DataArray) else not low < high:
        raise RangeError(
            f"the answers of {', '.join(answers)} were searched in ranges without overlap: give each "
            "fit a question that searches the same range"
        )
    return {
        name: replace(answer, draws=answer.draws.clip(low, high), low=low, high=high)
        for name, answer in censored.items()
    }


def _apart(one: Quantity, other: Quantity) -> float:
    """Return the largest distance of two medians over the sum of the halves of their intervals that face each other."""
    (below, a), (above, b) = ((x.median(), x.interval(CI_PROB)) for x in (one, other))
    half = xr.where(below < above, a["upper"] - below + above - b["lower"], below - a["lower"] + b["upper"] - above)
    distance = abs(above - below)
    return float(xr.where(distance > 0, distance / half.where(half > 0, np.nan), 0.0).fillna(np.inf).max())


def _evenly(draws: xr.DataArray, count: int) -> xr.DataArray:
    """Return that many draws, evenly taken from all chains, along one dim."""
    flat = draws.stack(sample=SAMPLE).drop_vars(["sample", *SAMPLE])
    at = np.linspace(0, flat.sizes["sample"] - 1, count).round().astype(int)
    return flat.isel(sample=at).rename(sample="draw")
