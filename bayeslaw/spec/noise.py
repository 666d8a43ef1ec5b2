"""Errors of measured losses around a law, on the log scale.

Errors of one run are correlated: along its checkpoints, and between validation sets. The error of run i on validation
set v at tokens D is

    e = sigma_v * (sqrt(w) * u_i + sqrt(1 - w) * x_i(D)),

u_i the run effect, standard normal; x_i an Ornstein-Uhlenbeck process in log D with correlation length ell; both with
correlation rho between any two validation sets. Runs with the same ``data_order`` share the effect of the latest
batches at the same tokens: a normal b_v, which is sampled and subtracted from the error. Measurement errors
(``loss_sd``) are known, independent, and only allowed where the other errors are independent too. The likelihood is
written one step ahead: given the earlier measurements of its run, each has a closed-form mean and scale. That
integrates the run effects out and admits robust (Student-t) innovations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import checked_fields
from bayeslaw.base.words import Described
from bayeslaw.declare.algebra import exp, where
from bayeslaw.declare.priors import Correlation, Prior, describe, positive, share, with_dims
from bayeslaw.errors import DataError

__all__ = ["Noise"]

SPREAD_OF_CORRELATION = 1.5
"""Prior standard deviation of the logit of the correlation between validation sets. At the limits of the correlation
the likelihood of a law of many coefficients on few runs is unbounded, as a power; this prior falls faster."""


@checked_fields
@dataclass(frozen=True, repr=False)
class Noise(Described):
    """An error model.

    Parameters
    ----------
    correlated : bool, optional
        Run effect and correlation along the run's tokens; by default when some run has several checkpoints, but not
        along training curves: what a law of schedules misses is alike along all of its runs, and taken for luck of
        each it moves the mean away from schedules not run (docs/studies/curves.md).
    joint : bool, optional
        Correlation between the validation sets of one run; by default when several were measured together.
    robust : bool
        Student-t innovations (5 degrees of freedom) instead of normal ones, for outliers.
    batch : bool, optional
        Batch noise, shared by runs of one data order at the same tokens, separate for every validation set; by
        default when several runs share a ``data_order``.
    sigma : Prior
        Relative error of a loss, per validation set, without the known measurement error (``loss_sd``); replicated
        runs in public tables differ by 0.001 to 0.04 nats.
    batch_sd : Prior
        Relative batch noise, per validation set; the default is smaller than that of `sigma`.
    run_weight : Prior
        Share of the run effect in the error variance.
    correlation_length : Prior
        Reach of the correlation along a run, in logarithms of tokens (or steps).
    size_exponent : Prior, optional
        Errors of a model of N parameters are (N / N0)^-size_exponent `sigma`, N0 that of the reference run (1e9 for
        laws without N); by default they have one scale at every size.
    """

    correlated: bool | None = None
    joint: bool | None = None
    robust: bool = False
    batch: bool | None = None
    sigma: Prior = field(default_factory=lambda: positive(0.005, spread=1.0))
    batch_sd: Prior = field(default_factory=lambda: positive(0.002, spread=1.0))
    run_weight: Prior = field(default_factory=lambda: share(0.4, weight=5))
    correlation_length: Prior = field(default_factory=lambda: positive(0.5, spread=1.0))
    size_exponent: Prior | None = None

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        words = {
            "along a run": (
                self.correlated,
                "run effect and correlation",
                "where runs have checkpoints and are no curves",
            ),
            "between losses": (self.joint, "correlated", "where several validation sets were measured together"),
            "batch noise": (self.batch, "shared by runs of one data order", "where runs share one"),
        }
        about = [("relative error", describe(self.sigma))]
        for name, (chosen, what, when) in words.items():
            about.append((name, f"{what}, {when}" if chosen is None else what if chosen else "none"))
        if self.size_exponent is not None:
            about.append(("by model size", f"exponent {describe(self.size_exponent)}"))
        about.append(("innovations", "Student-t, 5 degrees of freedom" if self.robust else "normal"))
        return "Noise: errors of log losses around a law", about

    def settled(self, checkpoints: bool, evals: int, known: bool, orders: bool | None = None) -> "Noise":
        """Return the error model with its defaults chosen from the table.

        Parameters
        ----------
        checkpoints : bool
            Whether some run was measured more than once, and is no training curve.
        evals : int
            Number of validation sets that were measured together.
        known : bool
            Whether some measurement errors are known.
        orders : bool, optional
            Whether some runs share a data order; None without that column.

        Raises
        ------
        DataError
            Measurement errors are known and others correlated, or batch noise is given without data orders.
        """
        chosen = replace(
            self,
            correlated=checkpoints if self.correlated is None else self.correlated,
            joint=(evals > 1 and not known) if self.joint is None else self.joint and evals > 1,
            batch=bool(orders) if self.batch is None else self.batch,
        )
        if chosen.batch and orders is None:
            raise DataError(
                "batch=True needs a column data_order, the same for runs that saw their data in one order, and the "
                "table has none: add it, or leave batch out"
            )
        if known and (chosen.correlated or chosen.joint):
            cause = "runs have several checkpoints" if chosen.correlated else "joint=True"
            raise DataError(
                f"known measurement errors (loss_sd) cannot be combined with correlated errors, and {cause}: leave the "
                "columns of loss_sd out, or use noise=bl.Noise(correlated=False, joint=False)"
            )
        return chosen

    @staticmethod
    def scale(sigma: Any, known: Any) -> Any:
        """Return the scale of independent errors together with known measurement errors."""
        return (sigma**2 + known**2) ** 0.5

    def priors(self, evals: int) -> dict[str, Prior]:
        """Return the priors of the parameters of a settled error model.

        ``correlation_length`` is ell, in log tokens; ``eval_correlation`` is rho; ``batch_effect`` is b, with one value
        for each data order and token count, and ``batch_effect_sigma`` its standard deviation.
        """
        priors = {"sigma": with_dims(self.sigma, ("eval",))}
        if self.correlated:
            priors |= {"run_weight": self.run_weight, "correlation_length": self.correlation_length}
        if self.batch:
            sd = with_dims(self.batch_sd, ("eval",))
            priors["batch_effect"] = Prior("Normal", mu=0.0, sigma=sd, dims=("eval", "batch"))
        if self.joint:
            priors["eval_correlation"] = Correlation(evals, SPREAD_OF_CORRELATION)
        if self.size_exponent is not None:
            priors["size_exponent"] = self.size_exponent
        return priors

    def at_size(self, parameters: Any, log_size: Any) -> Any:
        """Return the factor of the errors at a log size relative to the reference run."""
        return 1.0 if self.size_exponent is None else exp(-parameters["size_exponent"] * log_size)

    def spread(self, parameters: Any) -> Any:
        """Return the standard deviation of a new run's error at the reference size, without measurement error."""
        sigma = parameters["sigma"]
        return (sigma**2 + parameters["batch_effect_sigma"] ** 2) ** 0.5 if self.batch else sigma

    @staticmethod
    def measured(losses: xr.DataArray, rows: xr.Dataset, rng: np.random.Generator) -> xr.DataArray:
        """Return losses with simulated measurement errors, where the rows have them."""
        if "loss_sd" not in rows:
            return losses
        result: xr.DataArray = losses + rows["loss_sd"] * losses.copy(data=rng.standard_normal(losses.shape))
        return result

    def one_step_ahead(self, error: Any, parameters: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the mean and scale of every error given the earlier ones of its run.

        Parameters
        ----------
        error : array with dims (row, eval)
            Log loss minus log law; 0 where not measured. Rows are sorted by run, then tokens.
        parameters : mapping
            ``sigma``, ``run_weight``, ``correlation_length``, ``eval_correlation``.
        order : mapping
            `Design.order`: ``measured`` (row, eval), ``previous`` (row, eval; row number), ``gap`` (row, eval; log
            tokens since the previous measurement, huge for the first), ``start`` (row; first row of the run).
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
        """Return the mean and scale of every error given the other validation sets, without correlation along runs."""
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

        Every cell of `like` (dims chain, draw, eval and any others) is a new run; cells that differ only in tokens (the
        dim of `log_tokens`) are checkpoints of one run.
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
            batch = like.copy(data=rng.standard_normal(like.shape))
            batch = parameters["batch_effect_sigma"].sel(eval=like["eval"]) * batch
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
