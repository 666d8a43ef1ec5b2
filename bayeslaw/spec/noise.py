"""Errors of measured losses around a law, on the log scale.

Checkpoints of one run share what that run got by chance, and neighbours share more; the losses of one run on several
validation sets move together. An error e of run i, validation set v, at tokens D is

    e = sigma_v * (sqrt(w) * u_i + sqrt(1 - w) * x_i(D)),

u_i standard normal, common to the run; x_i an Ornstein-Uhlenbeck process in log D with correlation length ell; both
correlated by rho between any two validation sets. Runs that saw their data in one order (``data_order``) share, at the
same tokens, what the latest batches did to the loss: one normal effect b_v for all of them, which is sampled and taken
off before. What measuring adds (``loss_sd``) is known, independent, and only allowed where the run's own errors are
independent too. The likelihood is written one step ahead: each measurement given the earlier ones of its run has a
closed-form mean and scale, so the run effects are integrated out exactly and robust (Student-t) innovations cost one
line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.errors import DataError, LawError, shown
from bayeslaw.base.words import facts, facts_html
from bayeslaw.declare.laws import exp, where
from bayeslaw.declare.priors import Prior, describe, positive, share, with_dims

__all__ = ["Noise"]

TIED = 0.95
"""Largest correlation between validation sets, in parts of what makes one loss follow exactly from the others: there
the density has no bound, and a law of many coefficients reaches it on few runs."""


@dataclass(frozen=True)
class Noise:
    """An error model.

    Parameters
    ----------
    correlated : bool, optional
        Run effect and correlation along the run's tokens; by default when some run has several checkpoints.
    joint : bool, optional
        Correlation between the validation sets of one run; by default when there are several.
    robust : bool
        Student-t innovations (5 degrees of freedom) instead of normal ones: outliers pull less.
    batch : bool, optional
        Batch noise, shared by runs of one data order at the same tokens and drawn anew for every validation set; by
        default when several runs share a ``data_order``.
    sigma : Prior
        Relative error of a loss, per validation set, without what measuring adds where that is known (``loss_sd``);
        replicated runs in public tables differ by 0.001 to 0.04 nats.
    batch_sd : Prior
        Batch noise relative to the loss, per validation set; as prior, less than what runs differ by otherwise.
    run_weight : Prior
        Share of the error variance that all checkpoints of a run have in common: the run effect.
    size_exponent : Prior, optional
        Errors of a model of N parameters are (N / N0)^-size_exponent times as large as `sigma`, N0 that of the
        reference run (1e9 where the law has no N); left out: as large at every size.
    """

    correlated: bool | None = None
    joint: bool | None = None
    robust: bool = False
    batch: bool | None = None
    sigma: Prior = field(default_factory=lambda: positive(0.005, spread=1.0))
    batch_sd: Prior = field(default_factory=lambda: positive(0.002, spread=1.0))
    run_weight: Prior = field(default_factory=lambda: share(0.4, weight=5))
    size_exponent: Prior | None = None

    def __post_init__(self) -> None:
        for name in ("sigma", "batch_sd", "run_weight", *(["size_exponent"] if self.size_exponent is not None else [])):
            if not isinstance(prior := getattr(self, name), Prior):
                raise LawError(
                    f"{name} is {shown(prior)}: give its prior, for example sigma=bl.positive(0.005, spread=0.5)"
                )

    def _facts(self) -> list[tuple[str, str]]:
        words = {
            "along a run": (self.correlated, "run effect and correlation", "where runs have several checkpoints"),
            "between losses": (self.joint, "correlated", "where there are several validation sets"),
            "batch noise": (self.batch, "shared by runs of one data order", "where runs share one"),
        }
        about = [("relative error", describe(self.sigma))]
        for name, (chosen, what, when) in words.items():
            about.append((name, f"{what}, {when}" if chosen is None else what if chosen else "none"))
        if self.size_exponent is not None:
            about.append(("by model size", f"exponent {describe(self.size_exponent)}"))
        return [*about, ("innovations", "Student-t, 5 degrees of freedom" if self.robust else "normal")]

    def __repr__(self) -> str:
        return facts("Noise: errors of log losses around a law", self._facts())

    def _repr_html_(self) -> str:
        return facts_html("Noise: errors of log losses around a law", self._facts())

    def settled(self, checkpoints: bool, evals: int, known: bool, orders: bool | None = None) -> "Noise":
        """Return the model with its defaults chosen from the structure of the table.

        Parameters
        ----------
        checkpoints : bool
            Whether some run was measured more than once.
        evals : int
            Number of validation sets.
        known : bool
            Whether the errors of measuring some losses are known.
        orders : bool, optional
            Whether some runs share a data order; None where the table does not say.

        Raises
        ------
        DataError
            Known errors of measuring stand beside correlated ones, or batch noise is asked of runs of unknown order.
        """
        chosen = replace(
            self,
            correlated=checkpoints if self.correlated is None else self.correlated,
            joint=(evals > 1 and not known) if self.joint is None else self.joint and evals > 1,
            batch=bool(orders) if self.batch is None else self.batch,
        )
        if chosen.batch and orders is None:
            raise DataError(
                "batch=True is about runs that saw their data in one order, and the table has no column data_order: "
                "add it, or leave batch out"
            )
        if known and (chosen.correlated or chosen.joint):
            raise DataError(
                "the errors of measuring some losses are known (loss_sd), but "
                + ("runs with several checkpoints" if chosen.correlated else "joint=True")
                + " ask for correlated errors, which go without: leave these columns out, or take "
                "noise=bl.Noise(correlated=False, joint=False)"
            )
        return chosen

    @staticmethod
    def scale(sigma: Any, known: Any) -> Any:
        """Return the scale of independent errors: of the run, and of measuring it."""
        return (sigma**2 + known**2) ** 0.5

    def priors(self, evals: int) -> dict[str, Prior]:
        """Return the priors of the error model's own parameters (settled models only).

        ``correlation_length``: distance in log tokens over which errors along a run forget themselves.
        ``eval_correlation``: between the errors of one run on two validation sets. ``batch_effect``: of every data
        order at every token count, ``batch_effect_sigma`` their standard deviation.
        """
        priors = {"sigma": with_dims(self.sigma, ("eval",))}
        if self.correlated:
            priors |= {"run_weight": self.run_weight, "correlation_length": positive(0.5, spread=1.0)}
        if self.batch:
            sd = with_dims(self.batch_sd, ("eval",))
            priors["batch_effect"] = Prior("Normal", mu=0.0, sigma=sd, dims=("eval", "batch"))
        if self.joint:
            priors["eval_correlation"] = Prior("Uniform", lower=-TIED / (evals - 1), upper=TIED)
        if self.size_exponent is not None:
            priors["size_exponent"] = self.size_exponent
        return priors

    def at_size(self, parameters: Any, log_size: Any) -> Any:
        """Return what errors are multiplied by at a log size relative to the reference run's."""
        return 1.0 if self.size_exponent is None else exp(-parameters["size_exponent"] * log_size)

    def spread(self, parameters: Any) -> Any:
        """Return the standard deviation of a new run's error, of the reference size and without that of measuring."""
        return (
            (parameters["sigma"] ** 2 + parameters["batch_effect_sigma"] ** 2) ** 0.5
            if self.batch
            else parameters["sigma"]
        )

    @staticmethod
    def measured(losses: xr.DataArray, rows: xr.Dataset, rng: np.random.Generator) -> xr.DataArray:
        """Return losses of runs as they would be measured: with the errors of measuring that the rows know."""
        if "loss_sd" not in rows:
            return losses
        result: xr.DataArray = losses + rows["loss_sd"] * losses.copy(data=rng.standard_normal(losses.shape))
        return result

    def one_step_ahead(self, error: Any, parameters: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return mean and scale of every error given the earlier ones of its run.

        Parameters
        ----------
        error : array with dims (row, eval)
            Log loss minus log law; 0 where not measured. Rows are sorted by run, then tokens.
        parameters : mapping
            ``sigma``, ``run_weight``, ``correlation_length``, ``eval_correlation``.
        order : mapping
            What `Design` knows of the rows: ``measured`` (row, eval), ``previous`` (row, eval; row number),
            ``gap`` (row, eval; log tokens since the previous measurement, huge for the first), ``start`` (row;
            first row of the run).
        """
        sigma, w, ell = (parameters[k] for k in ("sigma", "run_weight", "correlation_length"))
        own = sigma * (1 - w) ** 0.5
        x = error / own
        decay = exp(-order["gap"] / ell)
        step = (1 - decay**2) ** 0.5
        carried = decay * x.isel(row=order["previous"], eval=order["eval_number"])
        pull = order["measured"] * (1 - decay) / step
        innovation = order["measured"] * (x - carried) / step
        odds = w / (1 - w)
        weight = _before(pull**2, order["start"])
        shared = odds / (1 + odds * weight)
        mean = pull * shared * _before(pull * innovation, order["start"])
        spread = (1 + pull**2 * shared) ** 0.5
        scale = own * step * spread
        shift = own * (carried + step * mean)
        if self.joint:
            z = order["measured"] * (innovation - mean) / spread
            z_mean, z_spread = self._given_other_evals(z, parameters["eval_correlation"], order["measured"])
            shift, scale = shift + scale * z_mean, scale * z_spread
        return shift, scale

    def same_step(self, error: Any, parameters: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return mean and scale of every error given the other validation sets, runs uncorrelated in time."""
        sigma = parameters["sigma"]
        z = order["measured"] * error / sigma
        mean, spread = self._given_other_evals(z, parameters["eval_correlation"], order["measured"])
        return sigma * mean, sigma * spread

    @staticmethod
    def _given_other_evals(z: Any, rho: Any, measured: Any) -> tuple[Any, Any]:
        seen = measured.cumsum("eval") - measured
        total = z.cumsum("eval") - z
        pull = rho / (1 + (seen - 1) * rho)
        mean = where(seen > 0, pull * total, 0.0)
        return mean, where(seen > 0, 1 - seen * rho * pull, 1.0) ** 0.5

    def sample(
        self, parameters: xr.Dataset, like: xr.DataArray, log_tokens: xr.DataArray | None, rng: np.random.Generator
    ) -> xr.DataArray:
        """Draw the errors of new runs of the reference size, on the log scale.

        Every cell of `like` (dims chain, draw, eval and any others) is a new run, but cells that differ only in tokens
        (the dim of `log_tokens`) are checkpoints of one run.
        """

        def draw(template: xr.DataArray) -> xr.DataArray:
            z = template.copy(data=rng.standard_normal(template.shape))
            if self.robust:
                z = z * np.sqrt(5 / rng.chisquare(5, template.shape))
            if self.joint and "eval" in z.dims:
                rho = parameters["eval_correlation"]
                earlier: list[xr.DataArray] = []
                for i in range(z.sizes["eval"]):
                    pull = rho / (1 + (i - 1) * rho)
                    given = pull * sum(earlier, xr.zeros_like(rho))
                    earlier.append(given + np.sqrt(1 - i * rho * pull) * z.isel(eval=i, drop=True))
                z = xr.concat(earlier, "eval").assign_coords(eval=template["eval"])
            return z

        sigma = parameters["sigma"].sel(eval=like["eval"])
        along = [d for d in log_tokens.dims if d in like.dims] if log_tokens is not None else []
        batch: Any = 0.0
        if self.batch:
            batch = parameters["batch_effect_sigma"].sel(eval=like["eval"]) * like.copy(
                data=rng.standard_normal(like.shape)
            )
        if log_tokens is None or not along or not self.correlated:
            independent: xr.DataArray = sigma * draw(like) + batch
            return independent
        w, ell, path = parameters["run_weight"], parameters["correlation_length"], along[0]
        template = like.isel({path: 0}, drop=True)
        run, steps = draw(template), [draw(template)]
        for gap in np.diff(np.sort(log_tokens.values)):
            decay = exp(-float(gap) / ell)
            steps.append(decay * steps[-1] + np.sqrt(1 - decay**2) * draw(template))
        process = xr.concat(steps, path).isel({path: np.argsort(np.argsort(log_tokens.values))})
        process = process.assign_coords({path: like[path]}) if path in like.coords else process
        error: xr.DataArray = sigma * (np.sqrt(w) * run + np.sqrt(1 - w) * process) + batch
        return error


def _before(x: Any, start: Any) -> Any:
    """Sum over the earlier rows of the same run."""
    until = x.cumsum("row") - x
    return until - until.isel(row=start)
