"""What the priors decide, and what the data decide."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import percent, short
from bayeslaw.checks.result import CheckResult
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import BayeslawError, RangeError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.identified import untold_coefficients, untold_mixtures
from bayeslaw.posterior.prediction import at_rows, pieces, thinned
from bayeslaw.posterior.prior_share import PriorShare, prior_share
from bayeslaw.posterior.quantity import Censored
from bayeslaw.posterior.sensitivity import (
    LEAST_CONTRACTION,
    SENSITIVE,
    Cell,
    contraction,
    in_prior_units,
    sensitivity,
    unit_cells,
    weighable,
)

__all__ = ["identification", "prior_decides", "prior_sensitivity"]

MOST_MOVED = 0.25
"""Posterior standard deviations that an answer may move when the priors weigh 0.8 or 1.25: about one if they were
dropped."""

MOST_SURPRISE = 2.0
"""Prior standard deviations between the middle of a prior and its posterior mean from which the two disagree."""

MOST_EFFECT = 1.0
"""Errors of a measurement by which one posterior sd of a coefficient that the data do not identify may move a loss."""

MOST_APART = 1.0
"""Posterior standard deviations by which medians may differ between priors."""

MOST_SWAYED = 0.25
"""By how much the probability of an end of the range may differ between priors."""

MOST_NAMED = 6
"""Coefficients that a sentence names."""


def prior_sensitivity(fit: Posterior) -> CheckResult | None:
    """Whether the answers depend on how strong the priors are; coefficients may, as long as the answers do not."""
    if not weighable(fit):
        return None
    asked = study_of(fit).answers_of(thinned(fit))
    table = sensitivity(fit, asked.to_dataset(name="draws")).set_axis(asked["answer"].values)
    apart = [
        f"{name} ({', '.join(evals)})"
        for name, z in in_prior_units(fit).items()
        if (evals := [e for e in z["eval"].values if abs(z.sel(eval=e).mean(SAMPLE)).max() > MOST_SURPRISE])
    ]
    ruled = (table["likelihood"] < SENSITIVE) & (table["prior"] > SENSITIVE)
    beyond = set(asked["of_eval"].values[ruled if ruled.any() else table["shift"] > MOST_MOVED])
    if ruled.any():
        worst = table[ruled].sort_values("prior").iloc[-1]
        value, limit = worst["prior"], SENSITIVE
        text = f"the prior on {worst['strongest']} decides {worst.name}, and the data add little"
    else:
        worst = table.sort_values("shift").iloc[-1]
        value, limit = worst["shift"], MOST_MOVED
        text = (
            f"with priors of 0.8 or 1.25 times their weight, the answers move by at most {short(value, 2)} posterior "
            f"standard deviations ({worst.name}, most through the prior on {worst['strongest']})"
        )
    return CheckResult.judged(
        "prior sensitivity",
        value,
        limit,
        text + (f"; prior and data disagree about {', '.join(apart)}" if apart else ""),
        "check that prior against what you know, set it with priors=, or measure more",
        () if "" in beyond else sorted(beyond),  # a decision may rest on any loss
    )


def identification(fit: Posterior) -> CheckResult | None:
    """Whether an answer of the study, or a prediction at the runs, depends on coefficients that the data leave open.

    It fails where mixtures leave a source or a direction out, which the best mixture cannot do without, and where the
    answer to the study's own question rests more on a prior than on the runs. What the runs say nothing of (one size,
    one number of tokens) fails it too where there is no such answer.

    How far a prediction hangs on a coefficient is its regression on it: the change of the log loss per posterior
    standard deviation. Where that is less than the error of a single measurement, the others make up for it.
    """
    mixtures = [] if fit.method == "prior" else [untold.text for untold in untold_mixtures(fit)]
    untold = [] if fit.method == "prior" else mixtures + _untold_columns(fit)
    decided = _decided_by_priors(fit)
    if mixtures or (untold and decided is None):
        remedy = "the priors decide there: add runs in which these vary, or do not ask for such answers"
        return CheckResult.judged("identification", len(untold), 0, "; ".join(untold), remedy)
    if decided and decided[1].share > decided[1].limit:
        name, by = decided
        remedy = "; ".join(["add runs that determine it, or do not act on the answer", *untold])
        return CheckResult.judged("identification", by.share, by.limit, f"of the {name}, {by}", remedy)
    if not weighable(fit):
        return None
    some, design = thinned(fit), fit.model.design
    known = xr.DataArray(design.known_error, dims=("row", "eval")).mean("row")
    sigma = some.noise.scale(some.posterior["sigma"].mean(SAMPLE), known)
    cells = [(float(contraction(cell.draws)), cell) for cell in unit_cells(some)]
    least = min([(1.0, ""), *((learned, cell.label) for learned, cell in cells)])
    open_ones = [cell for learned, cell in cells if learned < LEAST_CONTRACTION]
    unknown, hangs = [cell.label for cell in open_ones], []
    for cell, effect in zip(open_ones, _effects(some, open_ones), strict=True):
        error = float(sigma.sel(eval=cell.eval))
        text = f"{cell.label} moves a loss by up to {percent(effect)}, measured to {percent(error)}"
        hangs.append((effect / error, text))
    hangs.sort(reverse=True)
    value = hangs[0][0] if hangs else 0.0
    more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
    text = (
        f"the data do not identify {', '.join(unknown[:MOST_NAMED])}{more}; one posterior sd moves predictions inside "
        f"the design by at most {short(value, 2)} measurement errors, and others perhaps by more"
        if unknown
        else f"the data narrow every coefficient ({least[1]} least, by {percent(least[0])} of its prior variance); see "
        "prior sensitivity for the answers"
    )
    text = "; ".join([*untold, text])
    worst = "; ".join(text for effect, text in hangs[:3] if effect > MOST_EFFECT)
    remedy = f"{worst}: vary the columns that this coefficient acts on, or state a prior with its reason"
    return CheckResult.judged("identification", value, MOST_EFFECT, text, remedy)


def _effects(fit: Posterior, cells: Sequence[Cell]) -> np.ndarray:
    """Return the largest change of a measurement's log loss per posterior standard deviation of each coefficient."""
    effects, of = np.zeros(len(cells)), {e: [i for i, cell in enumerate(cells) if cell.eval == e] for e in fit.evals}
    if not cells:
        return effects
    z = np.array([cell.draws.transpose(*SAMPLE).values.ravel() for cell in cells])
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True) / fit.draws
    for piece in pieces(fit.model.design, fit.draws):
        logs = np.log(at_rows(fit, piece).transpose("eval", *SAMPLE, "row").values)
        for own, log, measured in zip(of.values(), logs, piece.measured.values.T, strict=True):
            at_cells = log.reshape(fit.draws, -1)[:, measured]
            slopes = abs(z[own] @ (at_cells - at_cells.mean(axis=0)))
            effects[own] = np.maximum(effects[own], slopes.max(axis=1, initial=0.0))
    return effects


def _decided_by_priors(fit: Posterior) -> tuple[str, PriorShare] | None:
    """Return the name of the study's own decision and the prior's share of its answer; None if there is no answer."""
    study = study_of(fit)
    if not weighable(fit) or study.question is None:
        return None
    decision, question = study.question
    with suppress(BayeslawError):  # a baseline or a label is missing
        answer = study.ask(decision.name, **question)
        return decision.name.replace("_", " "), prior_share(fit, answer.draws)
    return None


def _untold_columns(fit: Posterior) -> list[str]:
    """Return what columns with a single value leave open: coefficients that the data did not narrow either.

    A coefficient that the data of some losses did narrow is named with the others.
    """
    narrowed: dict[str, list[Cell]] = {}
    wide: dict[str, list[Cell]] = {}
    for cell in unit_cells(fit) if weighable(fit) else ():
        learned = contraction(cell.draws) >= LEAST_CONTRACTION
        (narrowed if learned else wide).setdefault(cell.coefficient, []).append(cell)
    found = []
    for one, coefficients in untold_coefficients(fit).items():
        theirs = [c for c in coefficients if c not in narrowed]
        theirs += [cell.label for c in coefficients if c in narrowed for cell in wide.get(c, ())]
        if theirs:
            found.append(f"all runs have {one}, so the data hardly narrow {', '.join(theirs)}")
    return found


def prior_decides(answers: Mapping[str, Censored]) -> CheckResult:
    """Check whether the prior decides an answer: it fails if fits under several stated priors disagree.

    Parameters
    ----------
    answers : mapping
        The same question to fits of the same runs, by the name of the prior; no dims besides chain and draw.

    Returns
    -------
    CheckResult
        Failed if two medians lie more than one posterior standard deviation apart (the smallest of the fits), or the
        probability that no window helps, or that a longer one still would, differs by more than 0.25.

    Raises
    ------
    RangeError
        There are fewer than two answers, or one has several elements.
    """
    if len(answers) < 2 or any(set(r.draws.dims) != {"chain", "draw"} for r in answers.values()):
        raise RangeError("answers needs two or more single answers: give one without labels for each prior")
    medians = {name: float(r.median()) for name, r in answers.items()}
    low, high = (pick(medians, key=medians.__getitem__) for pick in (min, max))
    spread = min(float(r.sd()) for r in answers.values())
    apart = medians[high] - medians[low]
    swayed = max(np.ptp([float(getattr(r, p)) for r in answers.values()]) for p in ("p_never", "p_always"))
    numbers = ((apart, MOST_APART * spread), (swayed, MOST_SWAYED))
    value, limit = next((one for one in numbers if one[0] > one[1]), numbers[0])
    return CheckResult.judged(
        "the prior decides this",
        value,
        limit,
        f"the median is {short(medians[low])} with the prior {low} and {short(medians[high])} with {high} (posterior "
        f"standard deviation {short(spread, 2)}); the probability of an end of the range differs by {short(swayed, 2)}",
        "measure more windows, or state which prior you use",
    )
