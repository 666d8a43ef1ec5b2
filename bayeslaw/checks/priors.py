"""What the priors decide, and what the data do."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayeslaw.base.errors import RangeError
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.checks.result import CheckResult
from bayeslaw.decisions.study import study_of
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, thinned
from bayeslaw.posterior.quantity import Censored
from bayeslaw.posterior.sensitivity import SENSITIVE, contraction, in_prior_units, sensitivity, unit_cells, weighable

__all__ = ["identification", "prior_decides", "prior_sensitivity"]

MOVED = 0.25
"""Posterior standard deviations that an answer may move when the priors weigh 0.8 or 1.25 before the check fails: about
one if they were dropped."""

ENOUGH = 1000
"""Draws from which the sensitivity to the priors is estimated."""

CONFLICT = 2.0
"""Prior standard deviations between the middle of a prior and its posterior mean from which the two disagree."""

LEARNED = 0.25
"""Contraction (1 minus the ratio of posterior to prior variance) below which the data do not identify a coefficient."""

APART = 1.0
"""Posterior standard deviations by which medians may differ between priors before the prior decides."""

SWAYED = 0.25
"""By how much the probability of an end of the range may differ between priors."""

NAMED = 6
"""Coefficients that a sentence names."""


def prior_sensitivity(fit: Posterior) -> CheckResult | None:
    """Whether the answers depend on how strong the priors are; coefficients may, as long as the answers do not."""
    if not weighable(fit):
        return None
    some = thinned(fit, ENOUGH)
    asked = study_of(fit).answers.sel(draw=some.posterior["draw"])
    table = sensitivity(some, asked.to_dataset(name="draws")).set_axis(asked["answer"].values)
    worst = table.sort_values("shift").iloc[-1]
    ruled = table[(table["likelihood"] < SENSITIVE) & (table["prior"] >= SENSITIVE)].sort_values("prior")
    apart = [
        f"{name} ({', '.join(evals)})"
        for name, z in in_prior_units(fit).items()
        if (evals := [str(e) for e in fit.evals if abs(z.sel(eval=e).mean(SAMPLE)).max() > CONFLICT])
    ]
    about = f"; prior and data disagree about {', '.join(apart)}" if apart else ""
    moves = (
        f"when the priors weigh 0.8 or 1.25 of what they do, the answers move by at most {worst['shift']:.2f} "
        f"posterior standard deviations ({worst.name}, most through the prior on {worst['strongest']})"
    )
    remedy = "check that prior against what you know, set it with priors=, or measure more"
    if len(ruled):
        first = ruled.iloc[-1]
        text = f"the prior on {first['strongest']} decides {first.name}, the data hardly do; {remedy}{about}"
        return CheckResult("prior sensitivity", False, text)
    if worst["shift"] > MOVED:
        return CheckResult("prior sensitivity", False, f"{moves}; {remedy}{about}")
    return CheckResult("prior sensitivity", True, f"{moves}{about}")


def identification(fit: Posterior) -> CheckResult | None:
    """Prior-posterior contraction of every coefficient, and whether predictions at the runs hang on what stays open.

    How far a prediction hangs on a coefficient is its regression on it: the change of the log loss per posterior
    standard deviation. Where that is less than the error of a single measurement, the others make up for it.
    """
    if not weighable(fit):
        return None
    name, some, design = "identification", thinned(fit, ENOUGH), fit.model.design
    losses = xr.ufuncs.log(at_rows(some)).where(design.measured).reset_coords(drop=True)
    losses = losses - losses.mean(SAMPLE)
    known = xr.DataArray(design.known_error, dims=("row", "eval")).mean("row")
    sigma = some.noise.scale(some.posterior["sigma"].mean(SAMPLE), known)
    unknown: list[str] = []
    hangs: list[tuple[float, str]] = []
    least = (1.0, "")
    for label, e, z in unit_cells(some):
        learned = float(contraction(z))
        least = min(least, (learned, label))
        if learned < LEARNED:
            slope = abs((losses.sel(eval=e, drop=True) * (z - z.mean())).mean(SAMPLE) / float(z.std()))
            effect, error = float(slope.max()), float(sigma.sel(eval=e))
            unknown.append(label)
            text = f"{label} (one sd moves a loss by up to {100 * effect:.2g} %, measured with {100 * error:.2g} %)"
            hangs.append((effect / error, text))
    if not unknown:
        text = (
            f"the data narrowed every coefficient beyond its prior (least {least[1]}, by {least[0]:.0%} of its "
            "variance); how much of the answers is the prior's, prior sensitivity says"
        )
        return CheckResult(name, True, text)
    listed = ", ".join(unknown[:NAMED]) + (f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else "")
    worst = sorted((h for h in hangs if h[0] > 1), reverse=True)
    if not worst:
        return CheckResult(
            name,
            True,
            f"the data do not identify {listed}; predictions inside the design do not depend on that (one posterior sd "
            f"moves them by at most {max(hangs)[0]:.2f} of a measurement's error), those beyond it may",
        )
    return CheckResult(
        name,
        False,
        f"the data do not identify {listed}, and predictions inside the design depend on "
        f"{'; '.join(text for _, text in worst[:3])}: vary more what that coefficient goes with, or state a prior that "
        "you can defend",
    )


def prior_decides(answers: Mapping[str, Censored]) -> CheckResult:
    """Check whether an answer is the prior's: it fires where fits under several stated priors disagree.

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
        raise RangeError("give the same single question to at least two fits that differ in their priors")
    medians = {name: float(r.median()) for name, r in answers.items()}
    low, high = (pick(medians, key=medians.__getitem__) for pick in (min, max))
    spread = min(float(r.sd()) for r in answers.values())
    apart = medians[high] - medians[low]
    swayed = max(np.ptp([float(getattr(r, p)) for r in answers.values()]) for p in ("p_never", "p_always"))
    text = (
        f"the median goes from {medians[low]:.3g} ({low}) to {medians[high]:.3g} ({high}), with a posterior standard "
        f"deviation of {spread:.2g}; the probability of an end moves by {swayed:.2f}"
    )
    if apart <= APART * spread and swayed <= SWAYED:
        return CheckResult("the prior decides this", True, text)
    return CheckResult("the prior decides this", False, f"{text}: measure more windows, or say which prior you hold")
