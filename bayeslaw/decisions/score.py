"""Scores of benchmarks, predicted by a law of the loss and a law from loss to score."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact, short
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import only_eval, where
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import LawError, RangeError, unknown_name
from bayeslaw.posterior.cautions import cautioned, cautions
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.tables.scores import FOLLOWS

__all__ = ["Score", "score"]

FAR = 1.1
"""Factor beyond the losses that the second stage has seen, beyond which a score is called an extrapolation."""


@dataclass(frozen=True, eq=False, repr=False)
class Score(Quantity):
    """Posterior draws of scores, by benchmark (dim ``eval``) and the dims of the question.

    Parameters
    ----------
    reach : float, optional
        The score that `bayeslaw decide score --reach` asks about.
    """

    reach: float | None = None

    @checked
    def probability_of(self, score: float) -> xr.DataArray:
        """Return the probability that the score is at least this, a share in (0, 1)."""
        if not 0 < score < 1:
            raise RangeError(f"score is {score}: give a share in (0, 1)")
        return (self.draws >= score).mean(SAMPLE)

    @checked
    def probability_above(self, other: "Score") -> xr.DataArray:
        """Return the probability that this score is above another one: of another plan, or of another fit.

        Both share the draws of the second stage. Scores of single new runs have errors of their own only with different
        seeds.

        Raises
        ------
        RangeError
            The answers have different numbers of draws, or both are of new runs and have one seed.
        """
        sizes = [{d: one.draws.sizes[d] for d in SAMPLE} for one in (self, other)]
        if sizes[0] != sizes[1]:
            raise RangeError(f"one score has draws {sizes[0]}, the other {sizes[1]}: fit both with the same numbers")
        if self.what == other.what == "new run" and self.inputs["seed"] == other.inputs["seed"]:
            raise RangeError("both scores are of one new run with the same seed: give the other run a seed of its own")
        with xr.set_options(arithmetic_join="exact"):
            return (self.draws > other.draws.assign_coords({d: self.draws[d] for d in SAMPLE})).mean(SAMPLE)

    @checked
    def best(self, along: str, goal: str | Mapping[str, float] | None = None) -> Quantity:
        """Return where along a dim of the question the weighted mean of the scores is highest, in every draw.

        Parameters
        ----------
        along : str
            A dim of the question, for example ``"domain_share"``; the answer is one of its values.
        goal : str or mapping, optional
            The benchmark, or ``{benchmark: importance}``; by default all count alike.
        """
        if along not in self.inputs or along not in self.draws.dims:
            dims = [d for d in self.draws.dims if d not in (*SAMPLE, "eval")]
            raise unknown_name("dim of the question", along, dims)
        wanted = Goal.of(goal, [str(name) for name in self.draws["eval"].values])
        found = wanted(self.draws).idxmax(along)
        inputs = {k: v for k, v in self.inputs.items() if k not in (along, "seed")} | {"goal": wanted.asked}
        few = f"one of the {self.draws.sizes[along]} values asked about"
        return Quantity(f"best_{along}", found, "1", self.what, inputs, few, self.cautions)

    def _asked(self, besides: Collection[str] = ()) -> str:
        return super()._asked((*besides, "seed"))

    def _beside(self) -> dict[str, Any]:
        if self.reach is None:
            return {}
        reached = self.probability_of(self.reach)
        return {
            f"p_reach_{exact(self.reach)}": dict(
                zip(reached["eval"].values.tolist(), reached.values.tolist(), strict=True)
            )
        }


def score(
    fit: Posterior,
    stage2: Posterior,
    *,
    N: Any = None,
    D: Any = None,
    domain_share: Any = None,
    U: Any = None,
    mixture: Any = None,
    domain: Any = None,
    eval: str | Mapping[str, str] | None = None,
    reach: float | None = None,
    new_run: bool = False,
    seed: int = 0,
    labels: Mapping[str, Any] | None = None,
) -> Score:
    """Return the scores of benchmarks, through a fit of the loss and a fit from loss to score.

    Every draw of the loss meets a draw of the second stage, so that both uncertainties count.

    Parameters
    ----------
    fit, N, D, domain_share, domain, labels
        The posterior of the losses; model size (parameters), tokens, share of the domain, target domain and
        ``{column: label}`` of other groups. Arrays give the result dims.
    U : float or array
        Unique tokens, where the law counts epochs.
    stage2 : Fit
        A fit of a law from loss to score (`bayeslaw.read_scores` with ``against=``), of losses in the same unit.
    mixture : mapping, Series or DataArray, optional
        Shares by source, where the law depends on them.
    eval : str or mapping, optional
        The validation set whose loss the scores follow, or ``{benchmark: validation set}``. By default that of the
        benchmark's name, else the one that the benchmark was fitted to, else the only one, else that of the domain.
    reach : float, optional
        A score to reach, a share in (0, 1): also say how probable it is.
    new_run, seed
        Answer for one new run, with the errors of both stages, not for the mean law, and the seed of its errors.

    Returns
    -------
    Score

    Raises
    ------
    LawError
        `stage2` is no fit from loss to score.
    RangeError, UnknownName
        A column is missing or impossible; a validation set, benchmark or label does not exist.
    """
    law = stage2.model.law
    if law.kind != "score":
        raise LawError(f"{law.name} does not map a loss to a score: give a fit of loss_to_score as the second stage")
    if reach is not None and not 0 < reach < 1:
        raise RangeError(f"reach is {reach}: give a share in (0, 1)")
    asked = where(labels, N=N, D=D, domain_share=domain_share, U=U, domain=domain)
    columns = fit.columns(**asked, **where({WEIGHT: mixture}))
    follows = _followed(fit, stage2, eval)
    benchmarks = list(follows)
    loss = fit.loss(columns, new_run=new_run, seed=seed).sel(eval=list(follows.values()))
    given = loss.assign_coords(eval=benchmarks).reset_coords(drop=True)
    chances = [float(_of(stage2, name)["chance"][0]) for name in benchmarks]
    at = xr.Dataset({"L": given, "chance": ("eval", chances)}, coords={"eval": benchmarks})
    paired = _paired(stage2, fit).loss(at, new_run=new_run, seed=seed + 1)
    draws = (1 - paired).transpose(*SAMPLE, "eval", ...).rename("score")
    inputs = {**asked, **where({WEIGHT: mixture}), "seed": seed}
    answer = Score("score", draws, "1", "new run" if new_run else fit.mean_name, inputs, reach=reach)
    answer = cautioned(fit, answer, columns.get(WEIGHT), N=N, D=D, domain_share=domain_share)
    beyond = [text for name in benchmarks for text in _beyond(stage2, name, follows[name], given.sel(eval=name))]
    others = [text for name in benchmarks for text in _other_loss(fit, stage2, name, follows[name])]
    of_stage2 = [f"second stage: {text}" for text in cautions(stage2)]
    return replace(answer, cautions=(*answer.cautions, *of_stage2, *dict.fromkeys(others), *beyond))


def _followed(fit: Posterior, stage2: Posterior, eval: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return the validation set whose loss every benchmark follows, by benchmark."""
    if isinstance(eval, Mapping):
        if unknown := [name for name in eval if name not in stage2.evals]:
            raise unknown_name("benchmark (in eval=)", unknown[0], stage2.evals)
        return {name: only_eval(fit, loss) for name, loss in eval.items()}
    if eval is not None:
        return dict.fromkeys(stage2.evals, only_eval(fit, eval))
    if set(stage2.evals) <= set(fit.evals):
        return {name: name for name in stage2.evals}
    fitted = {name: _fitted_to(stage2, name) for name in stage2.evals}
    return {name: loss if loss in fit.evals else only_eval(fit, None) for name, loss in fitted.items()}


def _fitted_to(stage2: Posterior, benchmark: str) -> str:
    """Return the loss that a benchmark was fitted to, by its column without ``_loss``; empty if it is not known."""
    table = stage2.model.runs.table
    if FOLLOWS not in table:
        return ""
    return str(table.loc[table["benchmark"] == benchmark, FOLLOWS].iloc[0]).removesuffix("_loss")


def _other_loss(fit: Posterior, stage2: Posterior, benchmark: str, loss: str) -> list[str]:
    """Say that a benchmark is read off another loss than it was fitted to, which the fit of the losses has too."""
    fitted = _fitted_to(stage2, benchmark)
    if fitted == loss or fitted not in fit.evals:
        return []
    return [f"the scores of {benchmark} were fitted to the {fitted} loss and are read off at the {loss} loss"]


def _beyond(stage2: Posterior, benchmark: str, loss: str, values: xr.DataArray) -> list[str]:
    """Say how far a loss lies beyond those that the scores of a benchmark were fitted to."""
    seen = _of(stage2, benchmark)["L"]
    middle = values.median(SAMPLE)
    below, above = float(seen.min() / middle.min()), float(middle.max() / seen.max())
    found = []
    if below > FAR:
        found.append(
            f"the {loss} loss is {short(below, 2)} times below the smallest that the scores of {benchmark} were "
            "fitted to: there the curve is the form's and the prior's of its top"
        )
    if above > FAR:
        found.append(
            f"the {loss} loss is {short(above, 2)} times above the largest that the scores of {benchmark} were "
            "fitted to: there the curve is that of guessing, or the losses of the two stages have different units"
        )
    return found


def _of(stage2: Posterior, benchmark: str) -> xr.Dataset:
    """Return the rows of a benchmark."""
    rows = stage2.model.design.rows
    return rows.isel(row=np.flatnonzero(rows["loss"].sel(eval=benchmark).notnull()))


def _paired(stage2: Posterior, fit: Posterior) -> Posterior:
    """Return the second stage with one of its draws, in any order, for every draw of the first."""
    posterior = stage2.posterior.stack(sample=SAMPLE).drop_vars(["sample", *SAMPLE])
    sizes = {d: fit.posterior.sizes[d] for d in SAMPLE}
    rng, number = np.random.default_rng(0), posterior.sizes["sample"]
    rounds = -(-fit.draws // number)
    order = np.concatenate([rng.permutation(number) for _ in range(rounds)])[: fit.draws]
    place = xr.DataArray(order.reshape(tuple(sizes.values())), {d: fit.posterior[d] for d in SAMPLE}, SAMPLE)
    return replace(stage2, idata=xr.DataTree.from_dict({"posterior": posterior.isel(sample=place)}))
