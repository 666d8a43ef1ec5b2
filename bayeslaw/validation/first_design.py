"""A first design before any run: how wide the answer is expected to be after each, by simulation from the prior."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import exact, short
from bayeslaw.base.progress import bar
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.baseline import FARTHEST
from bayeslaw.decisions.question import given
from bayeslaw.declare.laws import Law
from bayeslaw.declare.priors import Prior
from bayeslaw.errors import ArgumentError, BayeslawError, LawError, RangeError, RefitError, shown, unknown_name
from bayeslaw.posterior import inference
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.spec.noise import Noise
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import read_runs
from bayeslaw.validation.designs import cost_of, knows, unit_of
from bayeslaw.validation.designs import designs as known_designs
from bayeslaw.validation.expected import Plan
from bayeslaw.validation.simulation import simulated, with_losses

__all__ = ["plan"]

SETTINGS: dict[str, Any] = {"draws": 200, "chains": 2, "tune": 300, "target_accept": 0.95, "method": "nuts"}
"""Of the fits of simulated tables."""

BEFORE = 200
"""Draws of the prior that say what is known before any run."""

RESAMPLED = 50
"""Resamples of these draws, which show the error of a width."""

PLACEHOLDER = 2.5
"""Loss of every row before losses are simulated, in nats."""

CROSSINGS = (0.2, 0.8)
"""Domain shares between which a simulated base model's loss is that of the truth, where no baseline is given."""

Asks = Callable[[Posterior], Quantity]


@checked
def plan(
    law: Law,
    question: str | Callable[[Any], Quantity],
    budget: float,
    *,
    priors: Mapping[str, Prior] | None = None,
    reference: Mapping[str, float] | None = None,
    noise: Noise | None = None,
    sources: Sequence[str] = (),
    designs: Mapping[str, pd.DataFrame] | None = None,
    simulations: int = 8,
    prob: float = CI_PROB,
    seed: int = 1,
    progress: bool = True,
    **asked: Any,
) -> Plan:
    """Compare first designs of a study before any run, by the expected width of the answer after each.

    The designs of the papers (the grid of D-CPT, factorial and L-shaped grids, IsoFLOP curves, swarms of mixtures) are
    scaled to the budget. Tables are simulated from the prior, the same truths (laws with their misfits) for every
    design, and each is fitted in few draws: no surrogate stands between a design and its width.

    Parameters
    ----------
    law : Law
        A law of sizes, tokens and domain shares, or of mixtures.
    question : str or callable
        A decision by its name in ``bayeslaw decide`` (``"critical-ratio"``), ``"loss"`` for a prediction, or a function
        of a fit that returns its answer.
    budget : float
        FLOPs (6 N D) of a law of sizes and tokens, tokens of one without sizes, the number of runs of others.
    priors, reference, noise
        As in `bayeslaw.Model`; the reference run is also the ratio of tokens to parameters of a design's largest run.
    sources : sequence of str
        Names of the sources, of a law of mixtures.
    designs : mapping of str to DataFrame, optional
        Your own designs beside these, as they are: the law's columns, and ``run`` where runs have checkpoints.
    simulations : int
        Simulated tables of each design.
    prob : float
        Probability of the interval.
    seed : int
        Of truths, losses and fits.
    progress : bool
        Show the number of truths drawn, then that of finished fits.
    **asked
        The arguments of the question. Of a critical ratio without a baseline, that of every simulated study is the loss
        of its truth at a domain share between 0.2 and 0.8, less the limit.

    Returns
    -------
    Plan

    Raises
    ------
    ArgumentError, DataError, LawError, RangeError, UnknownName
        No design is known for the law, or the budget is too small; the law does not answer the question; a setting has
        no meaning.
    RefitError
        No simulated table of a design could be fitted.

    Examples
    --------
    >>> bl.plan(models.dcpt, "critical-ratio", 1e21, N=1.8e9, D=1e10, max_rise=0.02)  # doctest: +SKIP
    """
    levels(prob)
    if not 0 < budget < np.inf:
        raise RangeError(f"budget is {exact(budget)}: give what a design may cost, a number of {unit_of(law)} above 0")
    if simulations < 2:
        raise RangeError(f"simulations is {simulations}: give at least 2, which show their scatter")
    recipe = given(priors=priors, reference=reference, noise=noise)
    of_law = law.reference(reference)
    given_designs = {name: _with_runs(law, name, table) for name, table in (designs or {}).items()}
    alone = bool(given_designs) and not knows(law)
    tables = ({} if alone else known_designs(law, of_law, budget, sources, seed)) | given_designs
    models = {name: _model(law, table, recipe) for name, table in tables.items()}
    every = _model(law, pd.concat([t.assign(run=f"{n} " + t["run"]) for n, t in tables.items()]), recipe)
    name, decades, asks = _asker(law, question, asked)
    rng, scale = np.random.default_rng([seed, 6]), np.log10 if decades else np.asarray
    with bar("truths drawn from the prior", simulations, show=progress) as shown_bar:
        prior, known = prior_predictive(every, draws=BEFORE, seed=seed), []
        truths = [posterior_of(every, _tree(prior.posterior.isel(draw=[i])), {}, 0.0) for i in range(simulations)]
        asks_of = [asks(true, rng) for true in truths]
        measured: dict[str, list[Specification]] = {label: [] for label in models}
        for number, (true, ask) in enumerate(zip(truths, asks_of, strict=True)):
            for label, model in models.items():
                measured[label].append(_measured(model, true, np.random.default_rng([seed, 7, number])))
                _check_near(label, measured[label][-1], ask, asked, f"{exact(budget)} {unit_of(law)}")
            known.append(ask(replace(prior, model=_measured(every, true, rng))))
            shown_bar.step()
    before = pd.Series([_width(answer, scale, prob) for answer in known])
    of_draws = _error_of_draws(known, scale, prob, np.random.default_rng([seed, 8]))
    widths: dict[str, pd.Series] = {}
    covered: dict[str, float] = {}
    with bar("simulated tables fitted", len(models) * simulations, show=progress) as shown_bar:
        for label, studies in measured.items():
            found: dict[int, tuple[float, float]] = {}
            for number, study in enumerate(studies):
                fit = _fitted(study, seed + number)
                if fit is not None:
                    answer, correct = asks_of[number](fit), asks_of[number](truths[number])
                    found[number] = _width(answer, scale, prob), _covered(answer, correct, prob)
                shown_bar.step()
            if len(found) < 2:
                raise RefitError(
                    f"the simulated tables of the design {label!r} cannot be fitted: give it more runs, or a "
                    "larger budget"
                )
            each = pd.DataFrame.from_dict(found, orient="index", columns=["width", "covered"])
            widths[label], covered[label] = each["width"], float(each["covered"].mean())
    best = widths[min(widths, key=lambda label: widths[label].mean())]
    rows = [
        {
            **_about(law, label, tables[label]),
            **_expected(own_widths, best, before, of_draws),
            "covered": covered[label],
        }
        for label, own_widths in widths.items()
    ]
    table = pd.DataFrame(rows).sort_values("width", ignore_index=True)
    losses = [f"{name}_loss" for name in _sets(law)]
    return Plan(
        law,
        name,
        {label: rows.reindex(columns=rows.columns.union(losses, sort=False)) for label, rows in tables.items()},
        table,
        budget,
        unit_of(law),
        before=float(before.mean()),
        before_error=float(np.hypot(_error(before), of_draws)),
        unit="decades" if decades else known[0].unit,
        prob=prob,
        simulations=simulations,
        misfit=tuple(every.processes),
    )


def _with_runs(law: Law, name: str, table: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame) or not len(table):
        raise ArgumentError(f"the design {name!r} is {shown(table)}: give a table with the law's columns")
    return table if "run" in table else table.assign(run=[f"run {i + 1}" for i in range(len(table))])


def _sets(law: Law) -> tuple[str, ...]:
    return tuple(law.evals) or ("validation",)


def _model(law: Law, table: pd.DataFrame, recipe: Mapping[str, Any]) -> Specification:
    """Return the model of a design, its losses to come."""
    losses = {f"{name}_loss": PLACEHOLDER for name in _sets(law)}
    return Specification(law, read_runs(table.assign(**losses)), outside="exclude", **recipe)


def _tree(truth: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"posterior": truth})


def _asker(
    law: Law, question: str | Callable[[Any], Quantity], asked: Mapping[str, Any]
) -> tuple[str, bool, Callable[[Posterior, np.random.Generator], Asks]]:
    """Return the question in words, whether its answer spans factors, and what asks it of the fits of one truth."""
    if callable(question):
        if asked:
            raise ArgumentError(
                f"question is a function of a fit: leave {next(iter(asked))} out, or use it in the function"
            )
        return "a question of your own", False, lambda *_: question
    name = question.replace("-", "_")
    if name == "loss":
        return "the loss", False, lambda *_: lambda fit: predict(fit, **asked)
    if name not in DECISIONS:
        raise unknown_name("question", question, [*(n.replace("_", "-") for n in DECISIONS), "loss"])
    decision = DECISIONS[name]
    if not decision.applies(law):
        known = [d.name.replace("_", "-") for d in DECISIONS.values() if d.applies(law)]
        raise LawError(f"the law {law.name} does not answer {question}: ask {', '.join([*known, 'loss'])}")

    def asks(truth: Posterior, rng: np.random.Generator) -> Asks:
        own = dict(asked)
        if name == "critical_ratio" and asked.get("rule") != "turning-point" and "baseline" not in asked:
            own["baseline"] = _baseline(truth, asked, rng.uniform(*CROSSINGS))
        return partial(checked(decision.ask), **own)

    return name.replace("_", "-"), decision.decades, asks


def _baseline(truth: Posterior, asked: Mapping[str, Any], share: float) -> float:
    """Return the loss before training of a simulated study: the limit is reached at a domain share."""
    at = {c: asked[c] for c in ("N", "D", "domain") if c in asked}
    loss = truth.loss(truth.columns(**at, domain_share=share))
    general = loss.sel(eval=(truth.model.design.of_role("general") or truth.evals)[0])
    if general.size != 1:
        raise RangeError("the question has several critical ratios: give one N and one D, or baseline=")
    limit, rise = float(asked.get("max_increase", 0.0)), float(asked.get("max_rise", 0.0))
    return float((general.item() - limit) / (1 + rise))


def _check_near(label: str, study: Specification, ask: Asks, asked: Mapping[str, Any], budget: str) -> None:
    """Refuse a budget whose runs have losses far from the baseline of a simulated study."""
    if "baseline" in asked or not (isinstance(ask, partial) and "baseline" in ask.keywords):
        return
    design, baseline = study.design, ask.keywords["baseline"]
    losses = study.runs.table[f"{(design.of_role('general') or design.evals)[0]}_loss"]
    if not losses.min() / FARTHEST <= baseline <= losses.max() * FARTHEST:
        raise RangeError(
            f"budget is {budget}, too little for this question: simulated runs of {label!r} have losses between "
            f"{short(losses.min())} and {short(losses.max())}, and its answer lies at a loss of {short(baseline)}; "
            "give more, or ask about smaller runs"
        )


def _measured(model: Specification, true: Posterior, rng: np.random.Generator) -> Specification:
    """Return a model with the losses that a truth gives its design."""
    runs = model.runs.sorted_along(model.law.path)
    return replace(model, runs=with_losses(runs, simulated(true, model.design, rng)))


def _fitted(model: Specification, seed: int) -> Posterior | None:
    """Return the posterior of a simulated table; None where it cannot be fitted."""
    try:
        return inference.fit(model, **SETTINGS, seed=seed, cores=1, progress=False)
    except BayeslawError:
        return None


def _width(answer: Quantity, scale: Callable[[Any], Any], prob: float) -> float:
    """Return the mean width of the interval over the elements of an answer."""
    ends = answer.interval(prob)
    return float(np.mean(scale(ends["upper"].values) - scale(ends["lower"].values)))


def _covered(answer: Quantity, correct: Quantity, prob: float) -> float:
    ends, true = answer.interval(prob), correct.draws.isel(dict.fromkeys(SAMPLE, 0), drop=True)
    return float(((ends["lower"] <= true) & (true <= ends["upper"])).mean())


def _about(law: Law, name: str, table: pd.DataFrame) -> dict[str, Any]:
    """Return name, size, cost and range of a design."""
    ends = {f"{c}_{end}": getattr(table[c], end)() for c in law.columns if c in table for end in ("min", "max")}
    return {"design": name, "runs": table["run"].nunique(), "rows": len(table), "cost": cost_of(law, table), **ends}


def _expected(widths: pd.Series, best: pd.Series, before: pd.Series, of_draws: float) -> dict[str, float]:
    """Return the mean of the widths, how far they lie behind those of the best design, and below those before."""
    behind, narrowing = (widths - best).dropna(), (before - widths).dropna()
    return {
        "width": float(widths.mean()),
        "width_error": _error(widths),
        "behind": float(behind.mean()),
        "behind_error": _error(behind),
        "narrowing": float(narrowing.mean()),
        "narrowing_error": float(np.hypot(_error(narrowing), of_draws)),
        "width_per_prior": float(widths.mean() / before[widths.index].mean()),
        "fits": len(widths),
    }


def _error(values: pd.Series) -> float:
    """Return the Monte Carlo error of a mean over truths."""
    return float(values.std() / np.sqrt(len(values)))


def _error_of_draws(
    answers: Sequence[Quantity], scale: Callable[[Any], Any], prob: float, rng: np.random.Generator
) -> float:
    """Return the error of the mean width that the few draws of the prior leave: all answers share these draws."""
    draws = [scale(answer.draws.stack(sample=SAMPLE).transpose("sample", ...).values) for answer in answers]
    at = rng.integers(len(draws[0]), size=(RESAMPLED, len(draws[0])))
    means = [np.mean([np.diff(np.quantile(x[i], levels(prob), axis=0), axis=0).mean() for x in draws]) for i in at]
    return float(np.std(means, ddof=1))
