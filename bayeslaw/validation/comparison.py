"""Comparison of models by their predictions of held-out runs.

The unit is the run: its checkpoints are dependent, so that leaving single ones out favours models that fit noise.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import short
from bayeslaw.base.words import counted, run_called
from bayeslaw.errors import Caution, DataError, RangeError
from bayeslaw.posterior.cautions import cautions
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.validation.evaluation import Evaluation

__all__ = ["compare"]

LEAST_PSIS_DRAWS = 100
"""Draws below which the tail of the weights is too short to smooth (PSIS)."""


@checked
def compare(entries: Mapping[str, Posterior] | Mapping[str, Evaluation]) -> pd.DataFrame:
    """Compare models by their predictions of held-out runs.

    Fits are compared by leave-one-run-out cross-validation without refits (PSIS on the joint density of each run,
    Vehtari et al. 2024, arXiv:1507.02646). If a warning calls it unreliable, compare evaluations,
    ``bl.compare({name: bl.evaluate(fit.model, bl.splits.by("run")), ...})`` or, with fewer refits, those of
    ``bl.splits.runs(10)``.

    Parameters
    ----------
    entries : mapping of str to Fit, or of str to Evaluation
        At least two, of the same measurements.

    Returns
    -------
    pandas.DataFrame
        One row per model, best first: ``rank``; ``elpd``, the summed log predictive density of the runs' log losses
        (nats; higher is better) and its standard error ``se``; ``elpd_diff``, the difference from the best, and
        ``diff_se``; ``p_worse``, the probability that the model is worse than the best (normal approximation);
        ``weight`` in the stacked prediction (Yao et al. 2018); ``p_eff``, the effective number of parameters, and
        ``bad_runs``, the number of runs with an unreliable Pareto k (both missing for evaluations); ``runs``, their
        number.

    Raises
    ------
    DataError
        The measurements differ.
    RangeError
        There are fewer than two entries, fits beside evaluations, or a fit without posterior.

    Warns
    -----
    UserWarning
        Some Pareto k are unreliable, or a fit did not converge.
    """
    if len(entries) < 2:
        raise RangeError(
            "compare needs at least two models: give them by name, bl.compare({'pooled': a, 'by domain': b})"
        )
    exact = {name: e for name, e in entries.items() if isinstance(e, Evaluation)}
    fits = {name: cast(Posterior, e) for name, e in entries.items() if name not in exact}
    if exact and fits:
        raise RangeError(
            f"{next(iter(exact))!r} is an evaluation and {next(iter(fits))!r} a fit: give either fits or evaluations"
        )
    if exact:
        _check_same({name: e.rows[["fold", "run", "eval", "observed"]] for name, e in exact.items()})
        found = {name: _exact(e.runs["elpd"].to_numpy()) for name, e in exact.items()}
        against = {name: e.cautions for name, e in exact.items()}
    else:
        _check_same({name: _measurements(fit) for name, fit in fits.items()})
        found = {name: _psis(name, fit) for name, fit in fits.items()}
        against = {name: tuple(cautions(fit)) for name, fit in fits.items()}
    for name, reasons in against.items():
        for reason in reasons:
            warnings.warn(f"{name!r}: {reason}", Caution, stacklevel=3)
    return _table(found)


def _measurements(fit: Posterior) -> pd.DataFrame:
    d = fit.model.design
    row, ev = d.cells["row"], d.cells["eval"]
    columns = {"run": d.rows["run"].values[row], "eval": d.rows["eval"].values[ev]}
    if d.law.path in d.rows:
        columns["at"] = d.rows[d.law.path].values[row]
    return pd.DataFrame({**columns, "observed": np.exp(d.log_loss)})


def _check_same(measured: Mapping[str, pd.DataFrame]) -> None:
    (first, one), *others = measured.items()
    for name, other in others:
        if len(one) != len(other) or list(one) != list(other):
            differ = f"{len(one)} and {counted(len(other), 'measurement')}"
        else:
            same = (one == other) | one.apply(lambda c, o=other: _close(c, o[c.name]))
            if same.all(axis=None):
                continue
            column = str(same.all().idxmin())
            where = one[~same[column]].iloc[0]
            differ = f"another {column} in {run_called(where['run'])}"
        raise DataError(
            f"{first!r} and {name!r} were not made of the same measurements ({differ}): compare models of the same "
            "rows and losses (outside='include' also counts rows outside a law's range)"
        )


def _close(one: pd.Series, other: pd.Series) -> "pd.Series[bool]":
    numbers = pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other)
    return pd.Series(np.isclose(one, other, rtol=1e-9) if numbers else False, index=one.index)


def _psis(name: str, fit: Posterior) -> ELPDData:
    if fit.method == "mle":
        raise RangeError(
            f"{name!r} is a maximum-likelihood fit, which has no posterior: compare "
            "bl.evaluate(fit.model, ..., method='mle')"
        )
    if fit.draws < LEAST_PSIS_DRAWS:
        raise RangeError(
            f"{name!r} has {fit.draws} draws, too few to leave runs out by weights: sample at least {LEAST_PSIS_DRAWS}"
        )
    tree = xr.DataTree.from_dict({"posterior": fit.posterior, "log_likelihood": log_likelihood(fit).to_dataset()})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto", category=UserWarning)
        found: ELPDData = arviz_stats.loo(tree, pointwise=True)
    return found


def _exact(elpd: np.ndarray) -> ELPDData:
    return ELPDData(
        elpd=float(elpd.sum()),
        se=float(np.sqrt(elpd.size * elpd.var())),
        p=np.nan,
        n_samples=0,
        n_data_points=elpd.size,
        scale="log",
        warning=False,
        good_k=np.nan,
        elpd_i=xr.DataArray(elpd, dims="run"),
    )


def _table(found: Mapping[str, ELPDData]) -> pd.DataFrame:
    best = np.max([e.elpd_i.values for e in found.values()], axis=0)  # weights exponentiate: keep the densities near 1
    near = {k: replace(e, elpd=float((e.elpd_i - best).sum()), elpd_i=e.elpd_i - best) for k, e in found.items()}
    with np.errstate(under="ignore"):
        table: pd.DataFrame = arviz_stats.compare(near, round_to="none")
    table = table.rename(columns={"dse": "diff_se", "p": "p_eff"})
    own = {k: {"elpd": e.elpd, "se": e.se, "bad_runs": _bad(e), "runs": e.n_data_points} for k, e in found.items()}
    table = table.assign(**pd.DataFrame.from_dict(own, orient="index"))
    for name, e in found.items():
        if (number := _bad(e)) > 0:
            warnings.warn(
                f"the score of {name!r} cannot be trusted: {number} of {e.n_data_points} runs weigh so much that "
                f"leaving them out needs a refit (Pareto k above {short(e.good_k, 2)}); compare bl.evaluate(fit.model, "
                "bl.splits.by('run')) of each model",
                stacklevel=3,
            )
    order = ["rank", "elpd", "se", "elpd_diff", "diff_se", "p_worse", "weight", "p_eff", "bad_runs", "runs"]
    return table[order].rename_axis("model")


def _bad(e: ELPDData) -> float:
    """Return the number of runs with an unreliable Pareto k."""
    return float("nan") if e.pareto_k is None else int((e.pareto_k > e.good_k).sum())
