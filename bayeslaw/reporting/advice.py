"""What to do about an answer: nothing without convergence, and nothing without what its failed checks mean for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bayeslaw.base.words import counted
from bayeslaw.checks import CheckResult
from bayeslaw.posterior.convergence import convergence
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.answer import Answer, Verdict

__all__ = ["NOT_CONVERGED", "advised", "converged", "go_by", "to_do"]

MEANS = {
    "range": "many measurements lie outside the law's range: {it} is valid inside it only",
    "trends": "the data contradict a trend of the law: {it} may have the wrong direction",
    "memory": "the memory of the annealing area does not suit these curves: {it} is off for other schedules",
    "peak learning rates": "the law is valid for runs of one peak learning rate: {it} is off for each of these",
    "model sizes": "the law does not know the size of its runs: {it} is of no size",
    "sources left out": "the law misses the losses of mixtures without a source: {it} is off for such mixtures",
    "repetition": "the law counts repeated tokens as new ones: {it} is too optimistic where tokens repeat",
    "shape along tokens": "the law cannot follow a loss that rises along a run: {it} is valid up to the measured "
    "tokens only",
    "identification": "the runs do not determine a coefficient: {it} may depend on its prior",
    "boundary shares": "the answer may lie beyond every measured share: read {it} as a bound",
    "run effect": "the run effect may hide a misfit of the law: {it} may be far off",
    "misfit by group": "the law misses some of the runs by more than chance: {it} is less sure than its interval says",
    "misfit along scales": "the law misses its runs along a scale by more than expected: {it} is less sure than its "
    "interval says, most of all beyond the runs",
    "neighbouring runs": "the error model counts a misfit of the law as chance: {it} is less sure than its "
    "interval says",
    "influential runs": "one run alone may change {it}: repeat that run first",
    "prior sensitivity": "other defensible priors give another answer: {it} depends on the priors",
    "fit to the data": "measurements leave their bands too often: the true interval of {it} is wider",
    "scatter": "some runs scatter more than the error model says: the bands of a new run are too narrow",
    "papers' fit": "the papers' fit predicts other losses: {it} depends on the priors, the pooling or the error model",
    "shape prior": "measured losses rise where the shape prior forbids it: {it} depends on that prior",
    "reference run": "the priors were stated for runs of another scale: {it} may depend on priors without a reason",
}
"""What a failed check means for an answer, which is named ``it``: from the worst to the mildest."""

NOT_CONVERGED = "act on none of these fits: none has converged"
"""What to do with fits of which none is converged."""

BESIDE = "this is about the {losses}, and {it} rests on the {own} alone"
"""What a failed check means for an answer that rests on other losses."""

WORST = ("range", "trends", "memory", "peak learning rates", "model sizes")
"""Failed checks that are worse for an answer than its own cautions: its place or its direction may be wrong."""

CAUTIONED = ("convergence", "extrapolation")
"""Checks whose sentence is a caution of the answer already."""


def advised(fit: Posterior, found: Answer, checks: Iterable[CheckResult]) -> Answer:
    """Return an answer that says what its failed checks mean for it, and recommends nothing without convergence.

    A check that failed for losses on which the answer does not rest is no doubt about it.
    """
    mixing = convergence(fit)
    if mixing is not None and mixing.remedy:
        actions = [f"do not act on this report before the fit has converged: {mixing.remedy}"]
        withheld = f"the advice on {found.about} is withheld: the fit did not converge ({mixing})"
        return replace(
            found,
            headline=withheld,
            sentences=[*[withheld] * bool(found.actions), *found.sentences],
            actions=actions,
            cautions=tuple(c for c in found.cautions if str(mixing) not in c),
            verdict=Verdict("red", "do not act", "the fit did not converge"),
        )
    unknown = "this check of the fit failed, and {it} may depend on it"
    failed = [check for check in checks if not check.passed and check.name not in CAUTIONED]
    failed.sort(key=lambda check: [*MEANS, check.name].index(check.name))
    doubts: dict[str, str] = {}
    beside: dict[str, str] = {}
    for check in failed:
        if check.evals and found.evals and set(check.evals).isdisjoint(found.evals):
            named = {"losses": _losses(check.evals), "own": _losses(found.evals)}
            beside[check.name] = BESIDE.format(it=found.about, **named)
        else:
            doubts[check.name] = MEANS.get(check.name, unknown).format(it=found.about)
    return replace(found, doubts=doubts, beside=beside, verdict=_verdict(found, doubts))


def _losses(evals: Sequence[str]) -> str:
    return f"{', '.join(evals)} loss{'es' if len(evals) > 1 else ''}"


def _verdict(found: Answer, doubts: Mapping[str, str]) -> Verdict:
    """Return the verdict of a fit that converged, with the worst reason against it; red where no decision follows."""
    against = [doubts[name] for name in WORST if name in doubts]
    against += [*found.cautions, *(doubt for name, doubt in doubts.items() if name not in WORST)]
    if found.verdict.colour == "red" or not against:
        return found.verdict
    worst, *others = against
    more = f" (and {counted(len(others), 'other')}, below)" if others else ""
    return Verdict("amber", "believe it with this caveat", f"{worst.rstrip('.')}{more}")


def converged(fits: Mapping[str, Posterior]) -> list[str]:
    """Return the names of the fits that may be acted on."""
    mixed = {name: convergence(fit) for name, fit in fits.items()}
    return [name for name, mixing in mixed.items() if mixing is None or not mixing.remedy]


def go_by(names: list[str], answers: Mapping[str, Answer], best: str | None) -> str | None:
    """Return the best of the fits that may be acted on, or else the one that fails the fewest checks; None of none."""
    return best if best in names else min(names, key=lambda name: len(answers[name].doubts), default=None)


def to_do(names: list[str], answers: Mapping[str, Answer], best: str | None) -> list[str]:
    """Return the recommendation of several fits: the advice of the best one that may be acted on, with its doubts."""
    if (chosen := go_by(names, answers, best)) is None:
        return [NOT_CONVERGED]
    fewest = "which fails the fewest checks" if len(names) > 1 else "the only one that has converged"
    why, found = "which predicts held-out runs best" if chosen == best else fewest, answers[chosen]
    advice = found.actions[0].rstrip(".") if found.actions else "its predictions are below, and it answers no decision"
    said = [f"go by {chosen}, {why}: {advice}"]
    if found.doubts:
        said.append(f"doubt it after its failed checks: {', '.join(found.doubts)}")
    if left := [name for name in answers if name not in names]:
        said.append(f"leave out {', '.join(left)}: not converged")
    return said
