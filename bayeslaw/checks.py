"""What could be wrong with a fit: one sentence and a remedy for each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.design import check_reference, ranges
from bayeslaw.mixtures import WEIGHT
from bayeslaw.quantity import CI_PROB
from bayeslaw.sensitivity import FEWEST, SENSITIVE, answers, at_rows, in_prior_units, sensitivity
from bayeslaw.words import place

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["CheckResult", "Checks", "run_checks"]

RHAT = 1.01
ESS = 400
MISFIT = 3.0
"""Standard errors by which the mean residual of a group may miss zero before the check fails."""
MOVED = 0.25
"""Posterior standard deviations that an answer may move when the priors weigh 0.8 or 1.25 before the check fails: about
one if they were dropped."""
ENOUGH = 1000
"""Draws from which the sensitivity to the priors is estimated."""
CONFLICT = 2.0
"""Prior standard deviations between the middle of a prior and its posterior mean from which the two disagree."""
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
    checks = [_reference(fit), _range(fit), _coverage(fit), _misfit(fit), _bend(fit), _trends(fit), _sensitivity(fit)]
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


def _residuals(fit: "Fit") -> xr.DataArray:
    """Standardised residuals of the posterior mean law, dims row and eval; NaN where not measured."""
    design = fit.model.design
    mean = xr.ufuncs.log(at_rows(fit)).mean(["chain", "draw"])
    error = xr.ufuncs.log(design.rows["loss"]) - mean
    z: xr.DataArray = error / fit.posterior["sigma"].mean(["chain", "draw"])
    return z.where(design.measured)


def _coverage(fit: "Fit") -> CheckResult:
    """In-sample coverage of the new-run band."""
    design = fit.model.design
    loss = at_rows(fit)
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
    """Systematic residuals: of every combination of size, share and the like, and of every part of the runs."""
    name, groups = "misfit by group", _groups(fit)
    limit = max(MISFIT, float(np.sqrt(2 * np.log(max(len(groups), 2)))) + 0.5)
    missed = groups[groups["score"].abs() > limit].sort_values("score", key=abs, ascending=False)
    if missed.empty:
        worst = groups["score"].abs().to_numpy().argmax()
        miss = f"{abs(groups['score'].iloc[worst]):.1f} standard errors ({groups['where'].iloc[worst]})"
        return CheckResult(name, True, f"no group's mean residual misses zero by more than {miss}, as chance explains")
    first = missed.head(3)[["where", "miss", "score"]].itertuples(index=False)
    shown = [f"{where} {miss}, {abs(float(score)):.1f} standard errors)" for where, miss, score in first]
    more = f", and {len(missed) - 3} more groups" if len(missed) > 3 else ""
    return CheckResult(
        name,
        False,
        f"the law misses {'; '.join(shown)}{more}, more than chance explains ({limit:.1f}): answers there are off "
        "by about as much; pool more coefficients, or use a law that can bend there",
    )


def _groups(fit: "Fit") -> pd.DataFrame:
    """Mean residuals of groups of measurements, in standard errors that know what checkpoints of one run share."""
    law, design, z = fit.model.law, fit.model.design, _residuals(fit)
    sigma = fit.posterior["sigma"].mean(["chain", "draw"])
    known = dict.fromkeys(["run", *([law.path] if law.path in design.rows else []), *design.levels])
    frame = design.rows[list(known)].to_dataframe().reset_index(drop=True)
    within = frame.groupby("run").nunique().max()
    columns = [c for c in design.levels if c != law.path and within[c] == 1]  # areas under a schedule never recur
    alike = {" and ".join(columns): list(columns)}
    if law.over:  # mixing laws jump where a source is left out
        absent = design.rows[WEIGHT] == 0
        for source in design.over["source"][absent.any("row").values]:
            frame[source] = np.where(absent.sel(source=source), "left out", "in the mixture")
            alike[source] = [source]
    if design.has_checkpoints() and law.path in frame:
        frame["part"] = _parts(frame["run"])
        alike |= {c: [c, "part"] for c in columns} if columns else {"part": ["part"]}
    found = []
    for e in design.evals:
        one = frame.assign(z=z.sel(eval=e).values).dropna(subset="z")
        for by in alike.values():
            for labels, group in one.groupby(by) if by else [((), one)]:
                at = dict(zip(by, labels, strict=True))
                part = at.pop("part", None)
                where = f"the {e} loss" + (f" at {place(at)}" if at else "") + (f" {part}" if part else "")
                miss = group["z"].mean() * float(sigma.sel(eval=e))
                found.append((where, group["z"].sum() / np.sqrt(_variance_of_sum(fit, group)), _percent(miss)))
    return pd.DataFrame(found, columns=["where", "score", "miss"])


def _parts(run: pd.Series) -> pd.Series:
    """Whether a measurement is its run's first, its last, or one in between; rows are sorted along runs."""
    first, last = ~run.duplicated(), ~run.duplicated(keep="last")
    return pd.Series(np.select([last, first], ["at the end of the runs", "at their start"], "in between"), run.index)


def _variance_of_sum(fit: "Fit", group: pd.DataFrame) -> float:
    """Return the variance of the sum of standardised errors: what checkpoints of one run share counts in full."""
    if not fit.noise.correlated:
        return float(len(group))
    w, ell = (float(fit.posterior[k].mean()) for k in ("run_weight", "correlation_length"))
    x, run = np.log(group[fit.model.law.path].to_numpy()), group["run"].to_numpy()
    starts = np.flatnonzero(run[1:] != run[:-1]) + 1
    return float(sum((w + (1 - w) * np.exp(-abs(t[:, None] - t) / ell)).sum() for t in np.split(x, starts)))


def _percent(miss: float) -> str:
    return f"by {100 * abs(miss):.2g} % (measured {'above' if miss > 0 else 'below'} it"


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


def _sensitivity(fit: "Fit") -> CheckResult | None:
    """Whether the answers depend on how strong the priors are; coefficients may, as long as the answers do not."""
    sizes = fit.posterior.sizes
    if fit.settings.get("method") == "prior" or sizes["chain"] * sizes["draw"] < FEWEST:
        return None
    some = replace(fit, idata=fit.idata.isel(draw=slice(None, None, -(-sizes["chain"] * sizes["draw"] // ENOUGH))))
    asked = answers(some)
    table = sensitivity(some, asked.to_dataset(name="draws")).set_axis(asked["answer"].values)
    worst = table.sort_values("shift").iloc[-1]
    ruled = table[(table["likelihood"] < SENSITIVE) & (table["prior"] >= SENSITIVE)].sort_values("prior")
    apart = [
        f"{name} ({', '.join(evals)})"
        for name, z in in_prior_units(fit).items()
        if (evals := [str(e) for e in fit.evals if abs(z.sel(eval=e).mean(["chain", "draw"])).max() > CONFLICT])
    ]
    about = f"; prior and data disagree about {', '.join(apart)}" if apart else ""
    moves = (
        f"when the priors weigh 0.8 or 1.25 of what they do, the answers move by at most {worst['shift']:.2f} "
        f"posterior standard deviations ({worst.name}, most through the prior on {worst['strongest']})"
    )
    remedy = "check that prior against what you know, set it with priors=, or measure more"
    if len(ruled):
        first = ruled.iloc[-1]
        text = f"the prior on {first['strongest']} decides {first.name}, the data hardly do; {remedy}{about}"
        return CheckResult("prior sensitivity", False, text)
    if worst["shift"] > MOVED:
        return CheckResult("prior sensitivity", False, f"{moves}; {remedy}{about}")
    return CheckResult("prior sensitivity", True, f"{moves}{about}")


def beside_papers_fit(fit: "Fit") -> CheckResult:
    """Compare the posterior's predictions at the measurements with those of the papers' fit, which takes seconds.

    Coefficients are not compared: the papers' fit has no priors, so those that the runs do not determine drift to
    anything there, and the predictions do not care.
    """
    design = fit.model.design
    other = fit.model.fit(method="mle", seed=fit.settings.get("seed", 0))
    draws = at_rows(fit).where(design.measured)
    low, middle, high = (
        draws.quantile(q, ["chain", "draw"], skipna=False) for q in ((1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2)
    )
    apart = abs(at_rows(other).squeeze(["chain", "draw"], drop=True) - middle) / ((high - low) / 2)
    columns = [c for c in design.levels if c != fit.model.law.path]
    frame = apart.reset_coords(drop=True).rename("apart").to_dataframe().reset_index().dropna()
    frame[columns] = design.rows[columns].to_dataframe()[columns].to_numpy()[frame["row"]]
    groups = [
        (f"the {e} loss at {place({c: level})}", group["apart"].median())
        for c in columns
        for (e, level), group in frame.groupby(["eval", c])
    ]
    differ = sorted((g for g in groups if g[1] > 1), key=lambda g: -g[1])
    median = frame["apart"].median()
    text = (
        "beside the papers' fit (multi-start least squares with the Huber loss, no priors), predictions at the "
        f"measurements differ in the median by {median:.2f} half-widths of the mean law's {CI_PROB:.0%} band"
    )
    if not differ:
        return CheckResult("papers' fit", True, text)
    where = "; ".join(f"{name} by {by:.1f}" for name, by in differ[:3])
    return CheckResult(
        "papers' fit",
        False,
        f"{text}, and by more than one in {len(differ)} groups ({where}): the priors, the pooling or the error model "
        "decide there; see the sensitivity",
    )
