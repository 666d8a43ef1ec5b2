"""A fit in a notebook: its verdict and its answer; then, folded, what passed, the coefficients and the model."""

import html
from collections.abc import Iterator

from bayeslaw.base.notebook import badge, folded, framed, lines, table
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import BayeslawError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.provenance import title
from bayeslaw.reporting.coefficients import coefficients, in_short

__all__ = ["as_html"]

OF_COEFFICIENTS = ("coefficient", "of", "posterior", "prior", "verdict")
"""Columns of the table of coefficients, as far as it has them."""


def as_html(fit: Posterior) -> str:
    """Return a fit as HTML that unfolds; one that did not converge has no answer."""
    from bayeslaw.checks import run_checks

    checks = None if fit.method == "prior" else run_checks(fit)
    verdict = badge(*checks.verdict) if checks else ""
    converged = checks is not None and checks.verdict[0] != "bad"
    return framed(
        f"<p><span class='title'>{html.escape(title(fit))}</span> {verdict}</p>",
        *(_answer(fit) if converged else ()),
        *(checks._parts() if checks else ()),
        folded("coefficients", _coefficients(fit)),
        folded("model", lines(fit.model._about()[1])),
    )


def _answer(fit: Posterior) -> Iterator[str]:
    """Yield the answer to the question that the study has by itself, if it has one."""
    study = study_of(fit)
    if study.question is None:
        return
    decision, question = study.question
    try:
        yield study.ask(decision.name, **question)._repr_html_()
    except BayeslawError as e:  # the runs lack what the question needs
        yield f"<p>no {decision.name.replace('_', ' ')}: {html.escape(str(e))}</p>"


def _coefficients(fit: Posterior) -> str:
    found = in_short(fit, coefficients(fit))
    shown = [name for name in OF_COEFFICIENTS if name in found]
    return table(shown, found[shown].astype(str).to_numpy().tolist(), words=len(shown))
