"""Questions to a fit; the library answers them, one verb each."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayeslaw.cli.options import (
    AsJson,
    Baseline,
    Domain,
    FitFile,
    Goals,
    MaxIncrease,
    MaxRise,
    NewRun,
    Prob,
    Share,
    Size,
    Tokens,
    Warmup,
    given,
    load_fit,
    numbers,
    pairs,
    read_before,
    read_goal,
    read_schedule,
)
from bayeslaw.cli.printing import caution, print_answer

if TYPE_CHECKING:
    from bayeslaw.tables.schedules import Schedule

__all__ = [
    "allocation",
    "best_duration",
    "best_mixture",
    "best_ratio",
    "best_schedule",
    "critical_point",
    "critical_ratio",
    "equivalent_compute",
    "turning_length",
]

Pretraining = Annotated[
    str | None,
    typer.Option("--before", metavar="FILE.csv", help="step, lr of the pre-training before; 'unknown': an open model."),
]


class Rule(StrEnum):
    """How the limit of a critical ratio is set; the library knows what each means."""

    tolerance = "tolerance"
    break_even = "break-even"
    turning_point = "turning-point"


def critical_ratio(
    fit_file: FitFile,
    N: Size = None,
    D: Tokens = None,
    baseline: Baseline = None,
    rule: Annotated[
        Rule, typer.Option(help="tolerance: up to a limit; break-even: no rise; turning-point: falling again by --D.")
    ] = Rule.tolerance,
    max_rise: MaxRise = None,
    max_increase: MaxIncrease = None,
    weight: Annotated[
        float | None, typer.Option(help="Turning point of domain loss + this x general loss, not of the general alone.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FIT.nc", help="With --weight: the fit of the domain loss, where FIT.nc has none."),
    ] = None,
    domain: Domain = None,
    safe: Annotated[float | None, typer.Option(min=0, max=1, help="Also say how probably this share is safe.")] = None,
    prob: Prob = None,
    new_run: NewRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the largest domain share that keeps the general loss within a limit.

    Example: bayeslaw decide critical-ratio fit.nc --N 1.8e9 --D 1e10 --baseline 2.8602 --max-rise 0.03
    """
    question = given(N=N, D=D, domain=domain, baseline=baseline, max_rise=max_rise, max_increase=max_increase)
    weighed = given(weight=weight, beside=None if beside is None else load_fit(beside))
    fit = load_fit(fit_file)
    ratio = fit.critical_ratio(rule=rule.value, new_run=new_run, **question, **weighed)
    caution(fit, **question)
    extra = {} if safe is None else {f"p_safe_at_{safe:g}": float(ratio.probability_safe(safe))}
    print_answer(ratio, prob, as_json, **extra)


def best_ratio(
    fit_file: FitFile,
    domain_tokens: Annotated[float, typer.Option(help="Domain tokens there are; general text fills up the rest.")],
    N: Size = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the domain share with the lowest domain loss when domain text is scarce.

    Example: bayeslaw decide best-ratio fit.nc --N 1.8e9 --domain-tokens 5e9
    """
    question = given(N=N, domain_tokens=domain_tokens, domain=domain)
    fit = load_fit(fit_file)
    answer = fit.best_ratio(**question)
    caution(fit, **question)
    print_answer(answer, prob, as_json)


def allocation(
    fit_file: FitFile,
    flops: Annotated[float, typer.Option(help="Compute budget, 6 N D.")],
    domain_share: Share = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the model size and tokens with the lowest loss for a compute budget.

    Example: bayeslaw decide allocation fit.nc --flops 1e21 --domain-share 0.5
    """
    question = given(flops=flops, domain_share=domain_share, domain=domain)
    fit = load_fit(fit_file)
    answer = fit.allocation(**question)
    caution(fit, **{name: answer.median().sel(quantity=name).item() for name in ("N", "D")})
    print_answer(answer, prob, as_json)


def best_mixture(
    fit_file: FitFile,
    goal: Goals = None,
    N: Size = None,
    D: Annotated[
        float | None, typer.Option("--D", help="Tokens, where the law has them or --available asks for them.")
    ] = None,
    at_most: Annotated[
        list[str] | None, typer.Option("--max", metavar="SOURCE=SHARE", help="github=0.3: at most this share of it.")
    ] = None,
    at_least: Annotated[
        list[str] | None, typer.Option("--min", metavar="SOURCE=SHARE", help="web=0.1: at least this share of it.")
    ] = None,
    available: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=TOKENS", help="github=2e9: all there is of it; takes --D."),
    ] = None,
    repetitions: Annotated[
        float | None, typer.Option(help="With --available: how often a token may be seen.  [default: 1]")
    ] = None,
    near: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE=SHARE", help="web=0.6: a share of the mixture to stay near to.")
    ] = None,
    pull: Annotated[
        float | None,
        typer.Option(help="With --near: nats to gain for a nat of Kullback-Leibler divergence from it."),
    ] = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the shares of many sources with the lowest loss, and the one mixture to train on.

    Example: bayeslaw decide best-mixture fit.nc --max github=0.3 --json
    """
    question = given(
        goal=read_goal(goal),
        N=N,
        D=D,
        domain=domain,
        at_most=numbers(at_most, "--max", "github=0.3") or None,
        at_least=numbers(at_least, "--min", "web=0.1") or None,
        available=numbers(available, "--available", "github=2e9") or None,
        repetitions=repetitions,
        near=numbers(near, "--near", "web=0.6") or None,
        pull=pull,
    )
    fit = load_fit(fit_file)
    answer = fit.best_mixture(**question)
    caution(fit, **question)
    print_answer(answer, prob, as_json, recommended=answer.recommended.to_series().to_dict())


def equivalent_compute(
    fit_file: FitFile,
    mixture: Annotated[list[str], typer.Option(metavar="SOURCE=SHARE", help="web=0.7: a share of the mixture.")],
    than: Annotated[list[str], typer.Option(metavar="SOURCE=SHARE", help="web=1: a share of the other mixture.")],
    D: Annotated[float, typer.Option("--D", help="Tokens that the mixture trains on.")],
    N: Size = None,
    goal: Goals = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find how many times the tokens another mixture needs to get as far as a mixture.

    Example: bayeslaw decide equivalent-compute fit.nc --mixture web=0.7 --mixture code=0.3 --than web=1 --D 1e10
    """
    shares = {"mixture": numbers(mixture, "--mixture", "web=0.7"), "than": numbers(than, "--than", "web=1")}
    question = given(goal=read_goal(goal), N=N, D=D, domain=domain)
    fit = load_fit(fit_file)
    answer = fit.equivalent_compute(**shares, **question)
    caution(fit, **question)
    print_answer(answer, prob, as_json)


def best_duration(
    fit_file: FitFile,
    goal: Goals = None,
    longest: Annotated[float | None, typer.Option(help="Longest window.  [default: the longest one tried]")] = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find for which share of the training, at its end, to upsample a domain.

    Example: bayeslaw decide best-duration fit.nc --goal gsm8k --longest 0.3
    """
    question = given(goal=read_goal(goal), longest=longest, domain=domain)
    fit = load_fit(fit_file)
    answer = fit.best_duration(**question)
    caution(fit, **question)
    print_answer(answer, prob, as_json)


def best_schedule(
    fit_file: FitFile,
    candidate: Annotated[
        list[str], typer.Option(metavar="NAME=FILE.csv", help="wsd=wsd.csv: step, lr of a schedule; at least two.")
    ],
    before: Pretraining = None,
    change: Annotated[bool, typer.Option("--change", help="Rank by the change since the end of pre-training.")] = False,
    warmup: Warmup = None,
    goal: Goals = None,
    N: Size = None,
    domain_share: Share = None,
    domain: Domain = None,
    prob: Prob = None,
    new_run: NewRun = False,
    as_json: AsJson = False,
) -> None:
    """Rank learning-rate schedules by the loss at their end, with the probability that each is the best.

    Example: bayeslaw decide best-schedule fit.nc --candidate cosine=cosine.csv --candidate wsd=wsd.csv
    """
    files = pairs(candidate, "--candidate", "wsd=wsd.csv")
    plans = {name: read_schedule(path, warmup) for name, path in files.items()}
    question = given(goal=read_goal(goal), N=N, domain_share=domain_share, domain=domain, before=_pretraining(before))
    fit = load_fit(fit_file)
    answer = fit.best_schedule(plans, change=change, new_run=new_run, **question)
    caution(fit, **question)
    print_answer(answer, prob, as_json, recommended=answer.recommended)


def turning_length(
    fit_file: FitFile,
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE.csv", help="step, lr: as long as it may get.")],
    before: Annotated[
        str, typer.Option(metavar="FILE.csv", help="step, lr of the pre-training before; 'unknown': an open model.")
    ],
    warmup: Warmup = None,
    goal: Goals = None,
    N: Size = None,
    domain_share: Share = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find after how many steps of continual pre-training a loss that rose is back at its start.

    Example: bayeslaw decide turning-length fit.nc schedule.csv --before pretraining.csv
    """
    question = given(goal=read_goal(goal), N=N, domain_share=domain_share, domain=domain, before=_pretraining(before))
    fit = load_fit(fit_file)
    answer = fit.turning_length(read_schedule(schedule, warmup), **question)
    caution(fit, **question)
    print_answer(answer, prob, as_json)


def critical_point(
    fit_file: FitFile,
    goal: Goals = None,
    N: Size = None,
    domain_share: Share = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the pre-training (rate x steps) from which on a loss that rises does not come back.

    Example: bayeslaw decide critical-point fit.nc --goal general
    """
    question = given(goal=read_goal(goal), N=N, domain_share=domain_share, domain=domain)
    fit = load_fit(fit_file)
    answer = fit.critical_point(**question)
    caution(fit, **question)
    print_answer(answer, prob, as_json)


def _pretraining(text: str | None) -> "Schedule | None":
    if text is None:
        return None
    stage = read_before(text)
    return read_schedule(stage) if isinstance(stage, str) else stage
