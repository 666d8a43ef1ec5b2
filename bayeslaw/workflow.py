"""Model and Fit, the objects of an analysis: every method is one call of the folder that does its work."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import arviz_stats
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.terminal import Shown
from bayeslaw.base.words import facts
from bayeslaw.checks import Checks, extrapolation, run_checks
from bayeslaw.decisions.allocation import allocation
from bayeslaw.decisions.best_duration import best_duration
from bayeslaw.decisions.best_mixture import best_mixture
from bayeslaw.decisions.best_ratio import best_ratio
from bayeslaw.decisions.critical_ratio import critical_ratio
from bayeslaw.decisions.equivalent_compute import equivalent_compute
from bayeslaw.decisions.optimum_shift import optimum_shift
from bayeslaw.decisions.schedule import best_schedule, curve
from bayeslaw.decisions.score import score
from bayeslaw.decisions.smallest_replay import smallest_replay
from bayeslaw.decisions.tokens_for import tokens_for
from bayeslaw.decisions.turning import critical_point, turning_length
from bayeslaw.declare.laws import Law
from bayeslaw.explore import explore
from bayeslaw.posterior import groups as groups_of
from bayeslaw.posterior import inference, provenance, store
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.losses import by_row, predict
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.reporting import report
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.areas import Schedules
from bayeslaw.tables.reading import Table
from bayeslaw.tables.runs import Runs
from bayeslaw.validation.next_runs import next_runs

if TYPE_CHECKING:
    import pymc

__all__ = ["Fit", "Model", "load"]


class Model(Specification):
    """A law, the runs it is fitted to, priors, pooling and errors.

    Parameters
    ----------
    law : Law
        A law of `bayeslaw.models`, or your own.
    runs : Runs
        Checked measurements (`read_runs`).
    by : mapping, optional
        ``{coefficient: column}``: partial pooling; the coefficient has one value per label of the column, and its prior
        becomes the prior of their population. Every coefficient also has one value per validation set, unpooled;
        ``{coefficient: "eval"}`` pools it over the sets of each role.
    priors : mapping, optional
        ``{coefficient: Prior}`` in place of the card's. A Prior with its own ``dims`` is used as it is (no pooling).
    noise : Noise, optional
        Error model; the default follows from the structure of the table.
    reference : mapping, optional
        The study's own reference run, for example ``{"N": 2e5, "D": 1e6}``; priors are read there.
    loss_scale : float, optional
        Factor on the default priors in nats, which are for losses of text; by default 1 where the median loss of the
        runs lies within 2 and 4.5, and that median over 3 elsewhere.
    monotone : {"observed", "paper", None}
        Shape prior: the loss falls in the covariates the paper names over the observed range; by the paper's
        sufficient condition; or none.
    outside : {"exclude", "include"}, optional
        Whether rows outside the law's range stay out of the likelihood, however many they are, or count (and decisions
        may go there). By default they stay out, and a fit that would leave out more than a tenth of a loss is refused;
        pure runs (`domain_share` 0 or 1) are not counted for that.
    roles : mapping, optional
        ``{validation set: role}``: what the law takes a set for, for example ``{"pile": "general", "code": "domain"}``.
        A set named like a role needs none, and a role may have any number of sets.
    misfit : "scales", Misfit or None
        Smooth random functions of what the law misses along its scales (sizes, tokens, shares, areas of the learning
        rate), which bend within the runs and grow away from them; predictions and decisions use the law with its
        misfit. None: the law alone, which "scales" is too for a table of a single run.

    Raises
    ------
    DataError, UnknownName, LawError
        Before anything is compiled.
    """

    @cached_property
    def pymc_model(self) -> "pymc.Model":
        """The model as a plain `pymc.Model`: priors on the coefficients, the law, the errors."""
        from bayeslaw.spec.pymc_model import pymc_model

        return pymc_model(self)

    @checked
    def fit(
        self,
        *,
        draws: int = 1000,
        chains: int = 4,
        seed: int = 0,
        tune: int = 300,
        target_accept: float | None = None,
        cores: int | None = None,
        method: Literal["nuts", "mle"] = "nuts",
        progress: bool = True,
    ) -> "Fit":
        """Sample the posterior, or find the maximum likelihood.

        Parameters
        ----------
        draws, chains, tune : int
            Draws kept per chain, number of chains, and draws of warm-up.
        seed : int
            Same seed, versions and machine: same draws.
        target_accept : float, optional
            Acceptance that the step size is adapted to: by default 0.95, then 0.99 if up to 2 % of draws diverge.
        cores : int, optional
            Processes; all cores by default.
        method : {"nuts", "mle"}
            Posterior draws; or the papers' fit, one draw: multi-start least squares with the Huber loss on log loss.
        progress : bool
            Show a progress bar.

        Raises
        ------
        DataError
            More than a tenth of a loss lies outside the law's range and `outside` is not chosen; or fewer measurements
            of it lie inside than the law has coefficients.
        """
        self.check_range()
        found = inference.fit(
            self,
            draws=draws,
            chains=chains,
            seed=seed,
            tune=tune,
            target_accept=target_accept,
            cores=cores,
            method=method,
            progress=progress,
        )
        return cast(Fit, found)

    @checked
    def prior_predictive(self, *, draws: int = 500, seed: int = 0) -> "Fit":
        """Draw from the prior, shape prior included, as a Fit: its predictions are what the priors say before data.

        Raises
        ------
        RangeError
            Fewer than one in 10,000 independent draws has the shape asked for.
        """
        return cast(Fit, inference.prior_predictive(self, draws=draws, seed=seed))


class Fit(Shown, Posterior):
    """A model and its posterior.

    Attributes
    ----------
    model : Model
        What was fitted.
    idata : xarray.DataTree
        Groups ``posterior`` (dims chain, draw, eval and groups), ``sample_stats``, ``observed_data`` and
        ``constant_data`` (the measurements in the likelihood, and what they belong to); `extend` adds others.
    settings : dict
        How it was fitted.
    seconds : float
        Wall time, compilation included.
    """

    model: Model

    @checked
    def summary(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return mean, sd, interval, ESS and R-hat of every parameter but the weights of a misfit."""
        weights = [process.weights for process in self.processes.values()]
        shown = [str(name) for name in self.posterior if name not in weights]
        return cast(pd.DataFrame, arviz_stats.summary(self.idata, shown, ci_prob=prob, ci_kind="eti"))

    @overload
    def predict(self, *, new_run: bool = False, seed: int = 0, **columns: Any) -> Quantity: ...
    @overload
    def predict(
        self,
        table: Table,
        /,
        *,
        prob: float = CI_PROB,
        new_run: bool = False,
        seed: int = 0,
        schedule: Schedules | None = None,
        before: Schedules | None = None,
        warmup: int | None = None,
    ) -> pd.DataFrame: ...
    def predict(self, *table: Any, **asked: Any) -> Quantity | pd.DataFrame:
        """Predict losses: draws at the values of columns, or a summary of every row of a table.

        Parameters
        ----------
        table : DataFrame or path, optional
            As `bayeslaw.read_runs` takes it, one row per prediction, with the law's columns (``weight_<source>`` of
            every source; ``step`` and, without `schedule`, ``lr`` of a curve, unless its areas are there already, as in
            ``runs.table``) and the labels of groups. Features that the fit knows of a domain may be left out.
        **columns
            Without a table: the law's columns (``N`` in parameters, ``D`` in tokens, ``domain_share`` in [0, 1]) and
            labels of groups: numbers, 1-d arrays (each a dim of its own) or DataArrays with named dims.
        new_run : bool
            False: the mean law, with its misfit if the model has one. True: a single new run, its error included; every
            row of a table is a run of its own.
        seed : int
            Of the errors.
        prob : float
            With a table: probability of the equal-tailed interval.
        schedule, before, warmup
            With a table of curves: as in `bayeslaw.read_curves`.

        Returns
        -------
        Quantity or DataFrame
            Losses in nats per token, dims chain, draw, eval and those of the columns; or the rows of the table, one for
            each validation set (``eval``) where there are several, and then ``mean``, ``sd``, ``lower`` and ``upper``.

        Raises
        ------
        DataError, RangeError, UnknownName
            A column or label is missing, not known or not possible.

        Warns
        -----
        bayeslaw.errors.Caution
            With a table, for each reason against its answers; they are in its ``attrs["cautions"]`` too.
        """
        return by_row(self, *table, **asked) if table else predict(self, **asked)

    def extend(self, *groups: str, draws: int = 500, seed: int = 0) -> "Fit":
        """Return the fit with further groups in `idata`, for ArviZ.

        Parameters
        ----------
        *groups : {"log_likelihood", "prior", "prior_predictive", "posterior_predictive"}
            By default all. The likelihood is that of a run, all its measurements together, since checkpoints of one run
            are not independent: `arviz.loo` leaves out runs. Predictions are log losses of new runs, measured where
            those of the fit were.
        draws : int
            Of the prior.
        seed : int
            Of the prior and of the errors of new runs.

        Raises
        ------
        UnknownName
            There is no such group.
        RangeError
            As in `Model.prior_predictive`.

        Examples
        --------
        >>> arviz.loo(fit.extend("log_likelihood").idata)  # doctest: +SKIP
        >>> arviz.plot_ppc_dist(fit.extend("posterior_predictive").idata)  # doctest: +SKIP
        """
        return replace(self, idata=groups_of.extended(self, *groups, draws=draws, seed=seed))

    provenance = provenance.provenance

    critical_ratio = checked(critical_ratio)
    smallest_replay = checked(smallest_replay)
    best_ratio = checked(best_ratio)
    allocation = checked(allocation)
    tokens_for = checked(tokens_for)
    best_mixture = checked(best_mixture)
    optimum_shift = checked(optimum_shift)
    equivalent_compute = checked(equivalent_compute)
    best_duration = checked(best_duration)
    curve = checked(curve)
    best_schedule = checked(best_schedule)
    turning_length = checked(turning_length)
    critical_point = checked(critical_point)
    score = checked(score)
    next_runs = checked(next_runs)

    @checked
    def new_domain(self, early_runs: Runs, *, draws: int = 1000, seed: int = 0) -> "Fit":
        """Return the posterior with one more domain; see `bayeslaw.posterior.new_domain.new_domain`."""
        from bayeslaw.posterior.new_domain import new_domain

        return cast(Fit, new_domain(self, early_runs, draws=draws, seed=seed))

    def checks(self, **planned: Any) -> Checks:
        """Return what could be wrong, one sentence and a remedy each.

        With a prediction that is planned (``N=7e9, D=1e11``), also whether it lies too far beyond the runs.
        """
        found = run_checks(self)
        return replace(found, results=(*found, extrapolation(self, **planned))) if planned else found

    report = checked(report)
    explore = checked(explore)

    @checked
    def save(self, path: str | Path) -> Path:
        """Write draws, runs and recipe to one netCDF file; see `bayeslaw.load`."""
        return store.save(self, path)

    def __str__(self) -> str:
        """Return what was fitted and its checks as text."""
        said = [provenance.title(self), facts(*self.model._about())]
        return "\n".join(said if self.method == "prior" else [*said, str(self.checks())])

    def _repr_html_(self) -> str:
        from bayeslaw.reporting.notebook import as_html

        return as_html(self)


@posterior_of.register
def _(model: Model, idata: xr.DataTree, settings: Mapping[str, Any], seconds: float) -> Fit:
    return Fit(model, groups_of.with_data(model, idata), settings, seconds)


@checked
def load(path: str | Path, law: Law | None = None) -> Fit:
    """Read a fit back.

    Parameters
    ----------
    path : path
        A file written by `Fit.save`.
    law : Law, optional
        The law, if it is not in the catalogue.

    Raises
    ------
    StoreError
        The file is missing, damaged or not a fit.
    UnknownName
        Its law is not in the catalogue.

    Warns
    -----
    UserWarning
        The law has changed since the fit was made.
    """
    return cast(Fit, store.load(path, law, Model))
