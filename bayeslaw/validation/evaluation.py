"""Refits of a model without some of its measurements, and scores of their predictions there."""

import html
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arviz_stats
import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logsumexp

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import level, short
from bayeslaw.base.words import counted
from bayeslaw.errors import DataError, RangeError
from bayeslaw.posterior import inference
from bayeslaw.posterior.cautions import reach_of
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.prediction import of_new_runs, part
from bayeslaw.spec.design import Design
from bayeslaw.spec.specification import Specification
from bayeslaw.validation.refits import failure_note, file_of, finish, labels, refit_settings
from bayeslaw.validation.scores import crps, scores
from bayeslaw.validation.splits import Splits

__all__ = ["Evaluation", "evaluate"]

MOST_R_HAT = 1.01


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Scores of a model's predictions of held-out measurements.

    Attributes
    ----------
    model : Model
        The refitted model.
    splits : Splits
        The held-out parts.
    prob : float
        Probability of the intervals.
    rows : pandas.DataFrame
        One row per held-out measurement: ``fold``, the columns of the law and its groups, ``run``, ``eval``,
        ``observed``; ``mean`` of the mean law; ``lower`` and ``upper`` end of the equal-tailed interval for a new run
        (all in nats per token); ``pit``, the share of a new run's draws below the observed loss; ``crps`` (nats per
        token); ``log_score``.
    runs : pandas.DataFrame
        One row per held-out run and fold: ``n`` measurements and ``elpd``, the log of their joint predictive density.
    folds : pandas.DataFrame
        One row per refit: ``rows`` trained on, ``r_hat`` (largest), ``divergences``, ``seconds``.
    failed : pandas.DataFrame
        One row per fold whose refit failed, absent from the other tables: ``fold``, ``error`` (its type) and
        ``reason``.
    """

    model: Specification
    splits: Splits
    prob: float
    rows: pd.DataFrame
    runs: pd.DataFrame
    folds: pd.DataFrame
    failed: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the scores, one row per fold and validation set.

        Columns: ``fold``, ``eval``, ``n`` measurements; of the mean law ``mae`` (nats per token), ``r2`` (missing for a
        single measurement) and ``huber`` (mean Huber loss of the log loss, delta 1e-3 as in arXiv:2203.15556); of the
        distribution of a new run ``crps`` and ``interval_score`` (nats per token; smaller is better), ``log_score``
        (mean log density of a log loss; larger is better) and ``coverage`` of the interval; of the refit ``r_hat`` and
        ``divergences``.
        """
        groups = self.rows.groupby(["fold", "eval"], sort=False)
        rows = [{"fold": fold, "eval": name, **scores(rows, self.prob)} for (fold, name), rows in groups]
        return pd.DataFrame(rows).merge(self.folds[["fold", "r_hat", "divergences"]], on="fold")

    def summary(self) -> pd.DataFrame:
        """Return the scores over all held-out measurements, one row per validation set; columns as in `to_frame`."""
        rows = {name: scores(part, self.prob) for name, part in self.rows.groupby("eval", sort=False)}
        table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="eval"))
        return table.loc[[e for e in self.model.runs.evals if e in rows]]

    @property
    def unconverged(self) -> list[str]:
        """The folds whose refit diverged or has an R-hat above 1.01."""
        bad = (self.folds["divergences"] > 0) | (self.folds["r_hat"] > MOST_R_HAT)
        return [str(label) for label in self.folds.loc[bad, "fold"]]

    @property
    def cautions(self) -> tuple[str, ...]:
        """Reasons against the scores: refits that did not converge."""
        bad, limits = self.unconverged, f"R-hat above {MOST_R_HAT} or divergences"
        each = f"{len(bad)} of {counted(len(self.folds), 'refit')} did not converge ({limits})"
        return (f"{each}, for example {bad[0]}: draw more, or raise target_accept",) if bad else ()

    @property
    def beyond(self) -> dict[str, str]:
        """The folds of curves that lie beyond the steps or the peak learning rates of the runs fitted, and how far."""
        design, runs, found = self.model.design, self.model.runs.sorted_along(self.model.law.path), {}
        columns = [c for c in ("step", "peak") if design.law.path == "step" and c in design.rows]
        for fold in self.splits(runs) if columns else ():
            asked = {c: design.rows[c].values[fold.test] for c in columns}
            farthest = reach_of(part(design, ~fold.test), asked)
            if farthest.factor > farthest.limit:
                found[fold.label] = str(farthest)
        return {label: found[label] for label in self.folds["fold"] if label in found}

    def _about(self) -> list[str]:
        n, runs = len(self.folds), len(self.runs)
        lines = [
            f"Evaluation of {self.model.law.name}: {counted(n, 'refit')}, {self.splits.name}, {self.splits.unit}; "
            f"{level(self.prob)} intervals for a new run",
            f"joint log predictive density {short(self.runs['elpd'].sum(), 4)} nats over {counted(runs, 'run')}",
        ]
        if far := self.beyond:
            label, how_far = next(iter(far.items()))
            lines.append(f"beyond the runs fitted: {len(far)} of {n}, for example {label}: {how_far}")
        return [*lines, *(f"caution: {caution}" for caution in self.cautions), *failure_note(self.failed, n)]

    def __repr__(self) -> str:
        first, *others = self._about()
        return "\n".join([first, self.summary().to_string(float_format=short, na_rep="-"), *others])

    def _repr_html_(self) -> str:
        first, *others = self._about()
        table = self.summary().to_html(border=0, float_format=short)
        return f"<p>{html.escape(first)}</p>{table}<p>{html.escape('; '.join(others))}</p>"


@checked
def evaluate(
    model: Specification,
    splits: Splits,
    *,
    draws: int = 500,
    chains: int = 4,
    seed: int = 0,
    prob: float = CI_PROB,
    folder: str | Path | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: bool = True,
    **settings: Any,
) -> Evaluation:
    """Refit a model without each fold of its measurements and score its predictions there.

    Point scores are those of the mean law, the others those of a new run; a label without training rows gets
    coefficients from its population. `splits.late` and `splits.segments` train on a part of each run, whose information
    about the run effect is ignored, so that these scores are conservative. Rows outside the law's range are scored only
    if the model has ``outside="include"``, and a fold without scored rows is left out. `Evaluation.failed` lists refits
    that fail; the others go on.

    Parameters
    ----------
    model : Model
        Law, pooling, priors, errors, reference, and the runs to split.
    splits : Splits
        One of `bayeslaw.splits`, for example ``bl.splits.by("N")``.
    draws, chains, seed : int
        Of each refit, see `bayeslaw.Model.fit`.
    prob : float
        Probability of the equal-tailed intervals.
    folder : path, optional
        Folder of finished folds, a JSON file each, which are not fitted again.
    jobs : int
        Folds fitted at a time, in processes of this machine; -1: one per core.
    executor : concurrent.futures.Executor, optional
        Fits the folds instead, for example on the workers of a Dask cluster (``Client(address).get_executor()``).
        Chains of a refit then run one after the other, as with jobs.
    progress : bool
        Show the number of finished folds and the time left, in a terminal or notebook.
    **settings
        Others of `bayeslaw.Model.fit`: ``tune``, ``target_accept``, ``method="mle"``.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError, RangeError, UnknownName
        The splits do not fit the table, a fold leaves too few training rows, or it needs coefficients of labels without
        training rows; nothing is fitted.
    StoreError
        The folder cannot be used.
    RefitError
        A process was killed, the executor was lost, or every refit failed.
    """
    levels(prob)  # an error here comes before any fit
    settings = refit_settings(jobs, executor, draws=draws, chains=chains, seed=seed, **settings)
    model.check_range()
    folds = _tasks(model, splits, settings)
    files = {label: file_of(folder, label, model, held, prob, settings) for label, (_, held) in folds.items()}
    tasks = {label: (*fold, prob, settings) for label, fold in folds.items()}
    parts, failed = finish(_fold, tasks, files, jobs=jobs, executor=executor, progress=progress)
    rows, runs = (pd.concat([pd.DataFrame(p[k]) for p in parts], ignore_index=True) for k in ("rows", "runs"))
    refits = pd.DataFrame([{"fold": p["fold"], **p["fit"]} for p in parts])
    return Evaluation(model, splits, prob, rows, runs, refits, failed)


def _tasks(
    model: Specification, splits: Splits, settings: Mapping[str, Any]
) -> dict[str, tuple[Specification, Design]]:
    """Return, for every fold, the model of the training rows and the design of the held-out ones."""
    design, runs = model.design, model.runs.sorted_along(model.law.path)
    tasks = {}
    for fold in splits(runs):
        held = part(design, fold.test)
        if not held.measured.any():
            continue
        try:
            trained = replace(model, runs=runs.select(~fold.test))
        except DataError as e:
            raise DataError(f"the runs without the fold {fold.label!r} cannot be fitted: {e}") from None
        _check_labels(trained, held, fold.label, settings.get("method", "nuts"))
        tasks[fold.label] = trained, held
    if not tasks:
        raise DataError(
            f"{splits.name} holds out rows outside the law's range only: fit with outside='include' to score them"
        )
    return tasks


def _check_labels(trained: Specification, held: Design, fold: str, method: str) -> None:
    for name, prior in trained.coefficient_priors.items():
        for dim in [d for d in (prior.dims or ()) if d in trained.design.groups]:
            new = np.setdiff1d(held.rows[dim].values, trained.design.groups[dim])
            if len(new) and name not in trained.by:
                raise RangeError(
                    f"{name} is separate by {dim} and unknown at {dim} {new[0]} without the fold {fold!r}: pool it "
                    f"with by={{{name!r}: {dim!r}}}, or split by another column"
                )
            if len(new) and method == "mle":
                raise RangeError(
                    f"maximum likelihood has no population to draw {name} at {dim} {new[0]} from (fold {fold!r}): "
                    "use method='nuts', or split by another column"
                )


def _fold(label: str, model: Specification, held: Design, prob: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Refit and score one fold, and return it as JSON data."""
    fit = inference.fit(model, **settings)
    density = logsumexp(log_likelihood(fit, held).stack(sample=SAMPLE).transpose("sample", "run"), axis=0)
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    counts = held.measured.sum("eval").to_series().groupby(held.rows["run"].values, sort=False).sum()
    counts = counts[counts > 0]
    runs = pd.DataFrame({"fold": label, "run": counts.index, "n": counts.to_numpy(), "elpd": density - np.log(draws)})
    rows = _predictions(fit, held, prob)
    rows.insert(0, "fold", label)
    about = {"rows": len(model.runs), **convergence(fit), "seconds": fit.seconds}
    return {"fold": label, "rows": rows.to_dict("list"), "runs": runs.to_dict("list"), "fit": about}


def _predictions(fit: Posterior, held: Design, prob: float) -> pd.DataFrame:
    rng = np.random.default_rng([fit.settings.get("seed", 0), 3])
    law, new, parameters = of_new_runs(fit, held, rng)
    row, ev = held.cells["row"], held.cells["eval"]
    mean_law, new_run = (v.stack(sample=SAMPLE).transpose("row", "eval", "sample").values[row, ev] for v in (law, new))
    observed = held.rows["loss"].transpose("row", "eval").values[row, ev]
    own = fit.noise.spread(parameters) * fit.noise.at_size(parameters, held.log_size(held.rows))
    sigma = own.broadcast_like(held.measured).stack(sample=SAMPLE).transpose("row", "eval", "sample").values[row, ev]
    sigma = fit.noise.scale(sigma, held.known_error[row, ev][:, None])
    z = (np.log(observed)[:, None] - np.log(mean_law)) / sigma
    density = (stats.t(5) if fit.noise.robust else stats.norm).logpdf(z) - np.log(sigma)
    lower, upper = np.quantile(new_run, levels(prob), axis=1)
    return pd.DataFrame(
        {
            **{c: v[row] for c, v in labels(held).items()},
            "eval": held.rows["eval"].values[ev],
            "observed": observed,
            "mean": mean_law.mean(axis=1),
            "lower": lower,
            "upper": upper,
            "pit": (new_run < observed[:, None]).mean(axis=1),
            "crps": crps(new_run, observed),
            "log_score": logsumexp(density, axis=1) - np.log(density.shape[1]),
        }
    )


def convergence(fit: Posterior) -> dict[str, float]:
    """Return the largest R-hat and the number of divergences of a fit."""
    if "sample_stats" not in fit.idata.children:
        return {"r_hat": float("nan"), "divergences": 0}
    sampled = fit.posterior[[n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]]
    largest = max(float(v.max()) for v in arviz_stats.rhat(sampled).data_vars.values())
    return {"r_hat": largest, "divergences": int(fit.idata["sample_stats"]["diverging"].sum())}
