"""The report of a fit: question, answer, what supports it, what could be wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslaw.base.arguments import checked
from bayeslaw.base.lazy import lazy
from bayeslaw.posterior.draws import Posterior

if TYPE_CHECKING:
    from bayeslaw.reporting.ratios import critical_ratios
else:
    __getattr__, __dir__ = lazy(__name__, {"bayeslaw.reporting.ratios": ["critical_ratios"]})

__all__ = ["critical_ratios", "report"]


@checked
def report(
    fits: Posterior | Mapping[str, Posterior],
    path: str | Path,
    *,
    title: str | None = None,
    about: str = "",
    question: Mapping[str, Any] | None = None,
    published: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Write a report of a fit, or of several side by side.

    Parameters
    ----------
    fits : Fit, or mapping of str to Fit
        A fitted model, or several by name: rival laws, poolings or priors on the same runs, or one law on several
        studies.
    path : path
        The file. ``.md``: MyST Markdown, with its figures in the folder ``<stem>_files`` beside it; ``.html``: one file
        that needs no other.
    title : str, optional
        The heading; by default the law, or "Fits side by side".
    about : str, optional
        Markdown below the heading: what the runs are, and what a reader has to know first.
    question : mapping, optional
        Arguments of the decision that the law is for, in place of the report's own: of `Fit.critical_ratio` (by default
        for no rise, and for 1 %), `Fit.best_mixture`, `Fit.best_duration` or `Fit.allocation`; also several values of
        an argument, as there.
    published : mapping of str to mapping, optional
        Published coefficients to set beside the posterior of a single fit, by the paper that gives them, in its units:
        numbers, or numbers by validation set, source or other group.
    progress : bool
        Show a progress bar in a terminal or notebook.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    StoreError
        The path cannot be written.
    UnknownName
        The decision takes no such argument, or the law has no such coefficient.
    RangeError
        A mapping holds one fit only, `published` names no paper, or the law has no decision that `question` asks.
    """
    from bayeslaw.reporting.writing import write

    return write(fits, path, title=title, about=about, question=question, published=published, progress=progress)
