"""What could be wrong with a fit: one sentence and a remedy for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.design import check_reference, ranges
from bayeslaw.quantity import CI_PROB

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["CheckResult", "Checks", "run_checks"]

RHAT = 1.01
ESS = 400
MISFIT = 3.0
"""Standard errors by which the mean residual of a size or share may miss zero before the check fails."""
RISE = 0.01
"""Relative rise of a loss above the run's first measurement that counts as a bend and not as noise."""


@dataclass(frozen=True)
class CheckResult:
    """One check: its name, whether it passed, and a sentence with the remedy if it did not."""

    name: str
    passed: bool
    text: str

    def __repr__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.text}"


@dataclass(frozen=True)
class Checks:
    """All checks of a fit."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(r.passed for r in self.results)

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def frame(self) -> pd.DataFrame:
        """Return a table with the columns name, passed, text."""
        return pd.DataFrame([(r.name, r.passed, r.text) for r in self.results], columns=["name", "passed", "text"])

    def __repr__(self) -> str:
        done = sum(r.passed for r in self.results)
        return f"{done} of {len(self.results)} checks passed\n" + "\n".join(f"  {r!r}" for r in self.results)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False, border=0))


def run_checks(fit: "Fit") -> Checks:
    """Run every check that applies to the fit."""
    checks = [_reference(fit), _range(fit), _coverage(fit), _misfit(fit), _bend(fit), _trends(fit)]
    if "sample_stats" in fit.idata.children:
        checks.insert(0, _convergence(fit))
    return Checks(tuple(c for c in checks if c is not None))


def _convergence(fit: "Fit") -> CheckResult:
    sampled = [n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]
    summary = az.summary(fit.idata, var_names=sampled, kind="all")
    rhat, ess = float(summary["r_hat"].astype(float).max()), float(summary["ess_bulk"].astype(float).min())
    divergent = int(fit.idata["sample_stats"]["diverging"].sum())
    numbers = f"R-hat at most {rhat:.3f}, ESS at least {ess:.0f}, {divergent} divergences"
    if rhat <= RHAT and ess >= ESS and divergent == 0:
        return CheckResult("convergence", True, numbers)
    remedy = "raise target_accept or use tighter priors" if divergent else "draw more (draws=, tune=)"
    return CheckResult("convergence", False, f"{numbers}; {remedy}")


def _reference(fit: "Fit") -> CheckResult:
    far = check_reference(fit.model.design)
    if not far:
        return CheckResult("reference run", True, "the runs lie within a factor of 100 of it")
    return CheckResult(
        "reference run",
        False,
        f"the runs lie more than a factor of 100 away in {', '.join(far)}, so the priors mean little here; state the "
        f"study's own, for example reference={{{far[0]!r}: ...}}",
    )


def _range(fit: "Fit") -> CheckResult:
    outside, total = int((~fit.model.design.measured).sum()), fit.model.design.measured.size
    span = f"the law's range ({ranges(fit.model.law)})"
    if fit.model.outside == "include":
        return CheckResult("range", True, f"rows outside {span} were included on request")
    if not outside:
        return CheckResult("range", True, f"all {total} measurements lie in {span}")
    passed = outside <= total / 3
    text = f"{outside} of {total} measurements lie outside {span} and stayed out of the fit"
    return CheckResult("range", passed, text if passed else text + "; outside='include' fits them all the same")


def _at_rows(fit: "Fit") -> xr.DataArray:
    """Losses of the mean law at the rows of the table."""
    design = fit.model.design
    needed = [c for c in dict.fromkeys([*fit.model.law.columns, *design.groups])]
    return fit.loss(xr.Dataset({c: ("row", design.rows[c].values) for c in needed}))


def _residuals(fit: "Fit") -> xr.DataArray:
    """Standardised residuals of the posterior mean law, dims row and eval; NaN where not measured."""
    design = fit.model.design
    mean = xr.ufuncs.log(_at_rows(fit)).mean(["chain", "draw"])
    error = xr.ufuncs.log(design.rows["loss"]) - mean
    z: xr.DataArray = error / fit.posterior["sigma"].mean(["chain", "draw"])
    return z.where(design.measured)


def _coverage(fit: "Fit") -> CheckResult:
    """In-sample coverage of the new-run band."""
    design = fit.model.design
    loss = _at_rows(fit)
    new = loss * np.exp(fit.noise.sample(fit.posterior, loss, None, np.random.default_rng(0)))
    tail = (1 - CI_PROB) / 2
    low, high = new.quantile(tail, ["chain", "draw"]), new.quantile(1 - tail, ["chain", "draw"])
    held = ((design.rows["loss"] >= low) & (design.rows["loss"] <= high)).where(design.measured)
    share = float(held.mean())
    passed = share >= CI_PROB - 0.08
    text = f"{share:.0%} of the measurements lie in their {CI_PROB:.0%} new-run band"
    return CheckResult(
        "fit to the data",
        passed,
        text if passed else text + "; the law or the error model does not fit: try robust errors or pooling",
    )


def _misfit(fit: "Fit") -> CheckResult:
    """Systematic residuals by size and share."""
    design, z = fit.model.design, _residuals(fit)
    frame = z.to_series().dropna().rename("z").reset_index()
    runs = design.rows["run"].values
    by = [c for c in fit.model.law.columns if c != fit.model.law.path]
    for c in ("run", *by):
        frame[c] = (runs if c == "run" else design.rows[c].values)[frame["row"]]
    per_run = frame.groupby(["eval", *by, "run"], as_index=False)["z"].agg(["mean", "size"]).reset_index()
    w = float(fit.posterior["run_weight"].mean()) if "run_weight" in fit.posterior else 0.0
    per_run["score"] = per_run["mean"] / np.sqrt(w + (1 - w) / per_run["size"])
    worst = per_run.iloc[int(per_run["score"].abs().argmax())]
    limit = max(MISFIT, float(np.sqrt(2 * np.log(max(len(per_run), 2)))) + 0.5)
    where = ", ".join(f"{c} {worst[c]:g}" for c in by)
    miss = f"{abs(worst['score']):.1f} standard errors ({worst['eval']} loss, {where})"
    text = f"the mean residual of a run misses zero by at most {miss}"
    if abs(worst["score"]) <= limit:
        return CheckResult("misfit by size and share", True, text)
    return CheckResult(
        "misfit by size and share",
        False,
        f"{text}, more than chance explains ({limit:.1f}): the law does not bend there; pool more coefficients or "
        "trust the band less",
    )


def _bend(fit: "Fit") -> CheckResult | None:
    """U-shape alarm: a loss that first rises and then falls along a run."""
    law, design = fit.model.law, fit.model.design
    if law.path not in law.falls_in or not design.has_checkpoints():
        return None
    bent: list[str] = []
    run, loss = design.rows["run"].values, design.rows["loss"].values
    for k, e in enumerate(design.evals):
        for name in np.unique(run):
            x = loss[(run == name) & design.measured.values[:, k], k]
            if len(x) >= 3 and x.max() > (1 + RISE) * x[0]:
                bent.append(f"{name} ({e})")
    if not bent:
        return CheckResult("shape along tokens", True, "no loss rises along a run, as the law requires")
    return CheckResult(
        "shape along tokens",
        False,
        f"the loss rises along {len(bent)} runs, for example {bent[0]}, which {law.name} cannot follow: keep "
        "predictions to the tokens measured, or use a law that can bend",
    )


def _trends(fit: "Fit") -> CheckResult | None:
    """Posterior probability that the law falls where the paper requires it."""
    coefficients = {k: fit.posterior[k] for k in fit.model.law.coefficients}
    parts, worst = [], 1.0
    for name, rise in fit.model.rises(coefficients).items():
        falls = float((rise <= 1e-3).all([d for d in rise.dims if d not in ("chain", "draw")]).mean())
        parts.append(f"{name} {falls:.2f}")
        worst = min(worst, falls)
    if not parts:
        return None
    text = "probability that the loss falls over the observed range in " + ", ".join(parts)
    return CheckResult(
        "trends", worst >= 0.5, text if worst >= 0.5 else text + "; the data disagree with the law's shape"
    )
