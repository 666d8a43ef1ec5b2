"""Models compared by run: how well each predicts runs that it has not seen.

The unit is the run, never the checkpoint: checkpoints of one run are not independent, so leaving one of them out leaves
its neighbours in and flatters whatever follows the noise.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData

from bayeslaw.base.arguments import checked
from bayeslaw.errors import DataError, RangeError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.validation.evaluation import Evaluation

__all__ = ["compare"]


@checked
def compare(entries: Mapping[str, Posterior] | Mapping[str, Evaluation]) -> pd.DataFrame:
    """Compare models by how well they predict runs they have not seen.

    Fits are compared by leave-one-run-out cross-validation without refits (PSIS on the joint density of each run,
    Vehtari et al. 2024, arXiv:1507.02646). Where that is unreliable, a warning says so: refit, and compare evaluations,
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
        ``weight`` in the stacked prediction (Yao et al. 2018); ``p_eff``, the effective number of parameters;
        ``bad_runs``, how many runs have a Pareto k too high to be trusted (the last two are missing for evaluations);
        ``runs``, how many there are.

    Raises
    ------
    DataError
        The measurements differ.
    RangeError
        There is nothing to compare, or no posterior.

    Warns
    -----
    UserWarning
        Some Pareto k are too high.
    """
    if len(entries) < 2:
        raise RangeError("give at least two models to compare, for example bl.compare({'pooled': a, 'by domain': b})")
    exact = {name: e for name, e in entries.items() if isinstance(e, Evaluation)}
    fits = {name: cast(Posterior, e) for name, e in entries.items() if name not in exact}
    if exact and fits:
        raise RangeError(
            f"{next(iter(exact))!r} is an evaluation and {next(iter(fits))!r} a fit: give either fits or evaluations"
        )
    if exact:
        _check_same({name: _held_out(e) for name, e in exact.items()})
        found = {name: _exact(e.runs["elpd"].to_numpy()) for name, e in exact.items()}
    else:
        _check_same({name: _measurements(fit) for name, fit in fits.items()})
        found = {name: _psis(name, fit) for name, fit in fits.items()}
    return _table(found)


def _measurements(fit: Posterior) -> pd.DataFrame:
    d = fit.model.design
    row, ev = d.cells["row"], d.cells["eval"]
    columns = {"run": d.rows["run"].values[row], "eval": d.rows["eval"].values[ev]}
    if d.law.path in d.rows:
        columns["at"] = d.rows[d.law.path].values[row]
    return pd.DataFrame({**columns, "observed": np.exp(d.log_loss)})


def _held_out(evaluation: Evaluation) -> pd.DataFrame:
    return evaluation.rows[["fold", "run", "eval", "observed"]]


def _check_same(measured: Mapping[str, pd.DataFrame]) -> None:
    (first, one), *others = measured.items()
    for name, other in others:
        if len(one) != len(other) or list(one) != list(other):
            differ = f"{len(one)} and {len(other)} measurements"
        else:
            same = (one == other) | one.apply(lambda c, o=other: _close(c, o[c.name]))
            if same.all(axis=None):
                continue
            column = str(same.all().idxmin())
            where = one[~same[column]].iloc[0]
            differ = f"another {column} in the run {where['run']!r}"
        raise DataError(
            f"{first!r} and {name!r} were not made of the same measurements ({differ}): compare models of the same "
            "rows and losses (outside='include' counts the rows outside a law's range too)"
        )


def _close(one: pd.Series, other: pd.Series) -> "pd.Series[bool]":
    numbers = pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other)
    return pd.Series(np.isclose(one, other, rtol=1e-9) if numbers else False, index=one.index)


def _psis(name: str, fit: Posterior) -> ELPDData:
    if fit.method == "mle":
        raise RangeError(
            f"{name!r} is a maximum-likelihood fit, which has no posterior to leave runs out of: compare "
            "bl.evaluate(fit.model, ..., method='mle')"
        )
    tree = xr.DataTree.from_dict({"posterior": fit.posterior, "log_likelihood": log_likelihood(fit).to_dataset()})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto", category=UserWarning)
        found: ELPDData = az.loo(tree, pointwise=True)
    return found


def _exact(elpd: np.ndarray) -> ELPDData:
    pointwise = xr.DataArray(elpd, dims="run")
    se = float(np.sqrt(elpd.size * elpd.var()))
    return ELPDData(
        elpd=float(elpd.sum()),
        se=se,
        p=np.nan,
        n_samples=0,
        n_data_points=elpd.size,
        scale="log",
        warning=False,
        good_k=np.nan,
        elpd_i=pointwise,
    )


def _table(found: Mapping[str, ELPDData]) -> pd.DataFrame:
    best = np.max([e.elpd_i.values for e in found.values()], axis=0)  # weights exponentiate: keep the densities near 1
    near = {k: replace(e, elpd=float((e.elpd_i - best).sum()), elpd_i=e.elpd_i - best) for k, e in found.items()}
    with np.errstate(under="ignore"):
        table: pd.DataFrame = az.compare(near, round_to="none")
    table = table.rename(columns={"dse": "diff_se", "p": "p_eff"})
    bad = {k: _bad(e) for k, e in found.items()}
    for column, value in (
        ("elpd", {k: e.elpd for k, e in found.items()}),
        ("se", {k: e.se for k, e in found.items()}),
        ("bad_runs", bad),
        ("runs", {k: e.n_data_points for k, e in found.items()}),
    ):
        table[column] = pd.Series(value)
    for name, number in bad.items():
        if number > 0:
            warnings.warn(
                f"the score of {name!r} cannot be trusted: {number} of {found[name].n_data_points} runs weigh so much "
                f"that leaving them out needs a refit (Pareto k above {found[name].good_k:.2f}); compare "
                "bl.evaluate(fit.model, bl.splits.by('run')) of each model",
                stacklevel=3,
            )
    order = ["rank", "elpd", "se", "elpd_diff", "diff_se", "p_worse", "weight", "p_eff", "bad_runs", "runs"]
    return table[order].rename_axis("model")


def _bad(e: ELPDData) -> float:
    return float("nan") if e.pareto_k is None else int((e.pareto_k > e.good_k).sum())
