"""What a report says: question, answer, recommendation and evidence, in words and tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.decisions.allocation import FLOPS_PER_TOKEN
from bayeslaw.decisions.critical_ratio import bends, has_critical_ratio, of_the_study
from bayeslaw.errors import BayeslawError
from bayeslaw.law import describe
from bayeslaw.priors import Prior
from bayeslaw.quantity import CI_PROB, Quantity, Ratio
from bayeslaw.sensitivity import FEWEST, in_prior_units, sensitivity
from bayeslaw.words import amount, place

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["SURE", "Answer", "answer", "coefficients", "critical_ratios", "largest_run"]

RULES: tuple[dict[str, Any], ...] = ({"max_rise": 0.0}, {"max_rise": 0.01})
"""The limits on the general loss that a report answers unless asked for others."""

LIMITS = ("max_rise", "max_increase")

SURE = 0.95
"""Probability with which a single new run is to keep the limit at the share that a report recommends."""

WIDE = 0.2
"""Width of an interval on a share from which the runs do not decide it."""


@dataclass(frozen=True)
class Answer:
    """The first page of a report.

    Attributes
    ----------
    question : str
        What was asked.
    sentences, actions : list of str
        The answer, with interval and probability, and what to do if the checks allow it.
    table : pandas.DataFrame
        The answer at every size, domain or validation set.
    draws : dict
        Draws of what was answered, by its name in words.
    ratios : pandas.DataFrame, optional
        What `critical_ratios` returned.
    """

    question: str
    sentences: list[str]
    actions: list[str]
    table: pd.DataFrame
    draws: dict[str, xr.DataArray]
    ratios: pd.DataFrame | None = None


def answer(fit: "Fit", question: Mapping[str, Any] | None = None) -> Answer:
    """Return the answer to the question of a study: its critical ratios where it has them, else what the law predicts.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    question : mapping, optional
        Arguments of `Fit.critical_ratio`.
    """
    if not has_critical_ratio(fit):
        return _predictions(fit)
    try:
        return _ratios(fit, critical_ratios(fit, question))
    except BayeslawError as e:
        found = _predictions(fit)
        return replace(found, sentences=[f"No critical ratio: {e}.", *found.sentences])


def critical_ratios(fit: "Fit", question: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the critical ratio of every model size (and domain) of the study, one row per size and limit.

    Columns: ``N``, ``domain`` (where there are several), ``D``, ``limit``, ``critical ratio`` (mean law) and ``of a new
    run`` in words, ``safe share`` (the largest that a new run keeps with probability 0.95; missing if there is none),
    ``p_never``, ``p_interior``, ``p_always``, and the `Ratio` itself.
    """
    asked = of_the_study(fit) | dict(question or {})
    limits: dict[str, Any] = {k: asked.pop(k) for k in LIMITS if k in asked}
    rows: list[dict[str, Any]] = []
    rules = (limits,) if limits else (*RULES, *([{"rule": "turning-point"}] if bends(fit) else []))
    for rule in rules:
        mean, new = (fit.critical_ratio(**asked, **rule, new_run=new_run) for new_run in (False, True))
        varied = [str(d) for d in mean.draws.dims if d not in ("chain", "draw")]
        for index in np.ndindex(*(mean.draws.sizes[d] for d in varied)):
            cell = dict(zip(varied, index, strict=True))
            one, another = (replace(q, draws=q.draws.isel(cell, drop=True)) for q in (mean, new))
            labels = asked | {d: mean.draws[d].isel({d: i}).item() for d, i in cell.items()}
            where: dict[str, Any] = {k: labels[k] for k in ("N", "domain", "D") if k in labels}
            words = {"critical ratio": str(one.text().item()), "of a new run": str(another.text().item())}
            chances = {p: float(getattr(one, p)) for p in ("p_never", "p_interior", "p_always")}
            safe = {"safe share": _safe_share(another)}
            rows.append({**where, "limit": _limit(rule), **words, **safe, **chances, "ratio": one})
    return pd.DataFrame(rows)


def _safe_share(new: Ratio) -> float:
    share = float(new.draws.quantile(1 - SURE))
    return share if share > new.low else float("nan")


def _limit(rule: Mapping[str, Any]) -> str:
    if rule.get("rule") == "turning-point":
        return "begun to fall again"
    if rule.get("max_increase") is not None:
        return f"rise of at most {rule['max_increase']:g} nats"
    return f"rise of at most {100 * rule['max_rise']:g} %" if rule.get("max_rise") else "no rise"


def _ratios(fit: "Fit", ratios: pd.DataFrame) -> Answer:
    limits = " or ".join(dict.fromkeys(ratios["limit"]))
    sentences, actions, draws = [], [], {}
    largest = ratios["N"].max() if "N" in ratios else None
    for row in ratios.to_dict("records"):
        ratio, at = row["ratio"], place({k: row[k] for k in ("N", "domain") if k in row})
        label = f"{at}, {row['limit']}" if at else row["limit"]
        draws[f"critical ratio, {label}"] = ratio.draws
        if row.get("N") == largest:
            sentences.append(f"{label}: {_share(ratio)}; of a new run {row['of a new run']}.")
            actions += [f"{label}: {action}." for action in _actions(ratio, row["safe share"])]
    return Answer(
        f"Which share of the new domain can continual pre-training take over {amount(ratios['D'].iloc[0])} tokens "
        f"before the general loss breaks its limit ({limits})?",
        sentences,
        actions,
        ratios.drop(columns=["ratio", "D"]),
        draws,
        ratios,
    )


def _actions(ratio: Ratio, safe: float) -> Iterator[str]:
    if np.isnan(safe):
        yield f"no share of the law's range is safe for a new run with probability {SURE:g}; relax the limit"
    else:
        yield f"take at most {safe:.2f}; a new run keeps the limit there with probability {SURE:g}"
    low, high = (float(v) for v in ratio.interval().values())
    if high - low > WIDE:
        yield f"the runs do not decide this one: add runs with shares from {low:.2f} to {high:.2f} before taking more"


def _share(ratio: Ratio) -> str:
    text = f"{ratio.text().item()} in the mean law"
    never, always = float(ratio.p_never), float(ratio.p_always)
    if never > 0.005:
        text += f"; with probability {never:.2f} even a share of {ratio.low:g} breaks the limit"
    if always > 0.005:
        text += f"; with probability {always:.2f} even a share of {ratio.high:g} respects it"
    return text


def largest_run(fit: "Fit") -> xr.Dataset:
    """Return the row of the largest run: the most parameters times tokens, or the furthest along the law's path."""
    rows = fit.model.design.rows
    counted: list[str] = [c for c in ("N", "D") if c in fit.model.law.columns] or [
        c for c in (fit.model.law.path,) if c in rows
    ]
    size = sum(np.log(rows[c].values) for c in counted) if counted else rows["row"].values
    return rows.isel(row=int(np.argmax(size)))


def _predictions(fit: "Fit") -> Answer:
    largest, law = largest_run(fit), fit.model.law
    at = {c: largest[c].item() for c in dict.fromkeys([*law.columns, *fit.model.design.groups])}
    mean, new = fit.predict(**at), fit.predict(**at, new_run=True)
    words = [
        (e, f"{float(largest['loss'].sel(eval=e)):.4g}", *(str(q.text().sel(eval=e).item()) for q in (mean, new)))
        for e in fit.evals
    ]
    draws = {f"{e} loss, {place(at)}": mean.draws.sel(eval=e, drop=True) for e in fit.evals}
    sentences = [f"{e} loss: {m} in the mean law, {n} for a new run; measured {seen}." for e, seen, m, n in words]
    actions: list[str] = []
    spend = {"N", "D"} <= set(law.columns)
    if spend:
        try:
            for action, best in _allocations(fit, at):
                actions, draws = [*actions, action], draws | best
        except BayeslawError as e:
            sentences.append(f"No allocation: {e}.")
    return Answer(
        f"Which loss does the law predict for the largest run of the study ({place(at)})"
        + (", and how would compute be spent best?" if spend else "?"),
        sentences,
        actions,
        pd.DataFrame(words, columns=["validation set", "measured", "mean law", "new run"]),
        draws,
    )


def _allocations(fit: "Fit", at: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, xr.DataArray]]]:
    rest = {k: v for k, v in at.items() if k not in ("N", "D")}
    for factor in (1, 10):
        flops = factor * FLOPS_PER_TOKEN * at["N"] * at["D"]
        best = fit.allocation(flops=flops, **rest)
        N, D = (_count(best, label) for label in ("N", "D"))
        inside = float(best.p_interior.min())
        beyond = "" if inside > 0.995 else f" ({inside:.0%} of the draws have an optimum in the searched range)"
        yield (
            f"with {flops:.3g} FLOPs ({factor} x the largest run) train {N} parameters on {D} tokens{beyond}.",
            {f"best {label} at {flops:.3g} FLOPs": best.draws.sel(quantity=label, drop=True) for label in ("N", "D")},
        )


def _count(best: Quantity, label: str) -> str:
    ends = best.interval().sel(quantity=label)
    middle = float(best.median().sel(quantity=label))
    return f"{amount(middle)} [{amount(float(ends['lower']))}, {amount(float(ends['upper']))}]"


def coefficients(fit: "Fit") -> pd.DataFrame:
    """Return every coefficient and error parameter: its posterior beside its prior, and what decided it.

    Columns: ``coefficient``, ``of`` (validation set and group); ``posterior`` and ``prior``: median and interval;
    ``contraction``: 1 minus the ratio of posterior to prior variance; ``distance``: of the posterior mean from the
    middle of the prior, in prior standard deviations (both on the log scale where positive); and, where there are draws
    enough, what `sensitivity` says: ``prior sensitivity``, ``data sensitivity``, ``verdict``.
    """
    model, standard = fit.model, in_prior_units(fit)
    names = [*model.law.coefficients, *model.noise.priors(len(fit.evals))]
    names = [name for name in names if name in fit.posterior]
    rows = []
    for name in names:
        draws = fit.posterior[name]
        prior = model.priors.get(name) or (
            model.law.coefficients[name].prior
            if name in model.law.coefficients
            else model.noise.priors(len(fit.evals))[name]
        )
        dims = [d for d in draws.dims if d not in ("chain", "draw")]
        for index in np.ndindex(*(draws.sizes[d] for d in dims)):
            cell = dict(zip(dims, index, strict=True))
            own = draws.isel(cell)
            low, middle, high = np.quantile(own, [(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2])
            of = ", ".join(str(own[d].item()) if d == "eval" else place({d: own[d].item()}) for d in dims)
            z = standard[name].isel(cell) if name in standard else None
            learned = (np.nan, np.nan) if z is None else (1 - float(z.var()), float(z.mean()))
            rows.append((name, of, f"{middle:.3g} [{low:.3g}, {high:.3g}]", _interval(prior), *learned))
    columns = ["coefficient", "of", "posterior", "prior", "contraction", "distance"]
    table = pd.DataFrame(rows, columns=columns)
    if fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] >= FEWEST:
        found = sensitivity(fit, fit.posterior[names])
        table["prior sensitivity"], table["data sensitivity"] = found["prior"].values, found["likelihood"].values
        table["verdict"] = found["verdict"].values
    return table


def _interval(prior: Prior) -> str:
    """Return a prior as its median and interval, where they are simple, and in words elsewhere."""
    mu, sigma = (prior.parameters.get(k) for k in ("mu", "sigma"))
    if prior.distribution not in ("LogNormal", "Normal") or isinstance(mu, Prior) or isinstance(sigma, Prior):
        return describe(prior)
    ends = mu + sigma * NormalDist().inv_cdf((1 + CI_PROB) / 2) * np.array([0, -1, 1])
    middle, low, high = np.exp(ends) if prior.distribution == "LogNormal" else ends
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
