"""Questions to a fit: a command for every decision of the table, its options read off the function."""

import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bayeslaw.cli import options
from bayeslaw.cli.options import load_fit, numbers, pairs, read_goal, read_pretraining, read_schedule
from bayeslaw.cli.printing import print_answer
from bayeslaw.decisions import DECISIONS, Decision

__all__ = ["add_decisions"]


class Rule(StrEnum):
    """How the limit of a critical ratio is set; the library knows what each means."""

    tolerance = "tolerance"
    break_even = "break-even"
    turning_point = "turning-point"


def _shares(flag: str, example: str, what: str) -> tuple[Any, Callable[[Any], Any]]:
    """Return an option that takes numbers by source, several times, and its reader."""
    metavar = "SOURCE=TOKENS" if float(example.partition("=")[2]) > 1 else "SOURCE=SHARE"
    option = Annotated[list[str] | None, typer.Option(flag, metavar=metavar, help=f"{example}: {what}")]
    return option, lambda given: numbers(given, flag, example) or None


def _plain(given: Any) -> Any:
    return given


PLANS = Annotated[
    list[str],
    typer.Option("--candidate", metavar="NAME=FILE.csv", help="wsd=wsd.csv: step, lr of a schedule; at least two."),
]
PLAN = Annotated[Path, typer.Argument(metavar="SCHEDULE.csv", help="step, lr: as long as it may get.")]
WEIGHT = "Turning point of domain loss + this x general loss, not of the general alone."
BESIDE = "With --weight: the fit of the domain loss, where FIT.nc has none."
RULE = "tolerance: up to a limit; break-even: no rise; turning-point: falling again by --D."
PULL = "With --near: nats to gain for a nat of Kullback-Leibler divergence from it."

OPTIONS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "N": (options.Size, _plain),
    "D": (options.Tokens, _plain),
    "eval": (Annotated[str | None, typer.Option(help="The validation set whose loss counts.")], _plain),
    "domain": (options.Domain, _plain),
    "domain_share": (options.Share, _plain),
    "goal": (options.Goals, read_goal),
    "baseline": (options.Baseline, _plain),
    "max_rise": (options.MaxRise, _plain),
    "max_increase": (options.MaxIncrease, _plain),
    "new_run": (options.NewRun, _plain),
    "rule": (Annotated[Rule, typer.Option(help=RULE)], lambda rule: rule.value),
    "weight": (Annotated[float | None, typer.Option(help=WEIGHT)], _plain),
    "beside": (Annotated[Path | None, typer.Option(metavar="FIT.nc", help=BESIDE)], load_fit),
    "at_most": _shares("--max", "github=0.3", "at most this share of it."),
    "at_least": _shares("--min", "web=0.1", "at least this share of it."),
    "available": _shares("--available", "github=2e9", "all there is of it; takes --D."),
    "near": _shares("--near", "web=0.6", "a share of the mixture to stay near to."),
    "pull": (Annotated[float | None, typer.Option(help=PULL)], _plain),
    "mixture": _shares("--mixture", "web=0.7", "a share of the mixture."),
    "than": _shares("--than", "web=1", "a share of the other mixture."),
    "candidates": (PLANS, lambda given: pairs(given, "--candidate", "wsd=wsd.csv")),
    "schedule": (PLAN, _plain),
    "before": (options.Pretraining, read_pretraining),
}
"""Options that are more than a number or a flag, by the argument that they become, and what reads them."""

UNSAID = ("fit", "labels", "seed", "vectors")
"""Arguments that have no option."""


def add_decisions(app: typer.Typer) -> None:
    """Add a command for every decision."""
    for decision in DECISIONS.values():
        app.command(decision.name.replace("_", "-"))(_command(decision))


def _command(decision: Decision) -> Callable[..., None]:
    """Return the command of a decision: the arguments of its function as options."""
    said = inspect.getdoc(decision.ask) or ""
    taken = inspect.signature(decision.ask).parameters.values()
    parameters = [_parameter(p, said) for p in taken if p.name not in UNSAID]
    names = {p.name for p in parameters}
    parameters.insert(0, _keyword("fit_file", options.FitFile))
    if names & {"candidates", "schedule"}:
        parameters.append(_keyword("warmup", options.Warmup, None))
    if "max_rise" in names:
        parameters.append(_keyword("safe", options.Safe, None))
    parameters += [_keyword("prob", options.Prob, None), _keyword("as_json", options.AsJson, False)]

    def command(fit_file: Path, prob: float | None, as_json: bool, **given: Any) -> None:
        warmup, safe = given.pop("warmup", None), given.pop("safe", None)
        asked = {name: OPTIONS[name][1](v) if name in OPTIONS else v for name, v in given.items() if v is not None}
        if "candidates" in asked:
            asked["candidates"] = {name: read_schedule(path, warmup) for name, path in asked["candidates"].items()}
        if "schedule" in asked:
            asked["schedule"] = read_schedule(asked["schedule"], warmup)
        fit = load_fit(fit_file)
        answer: Any = getattr(fit, decision.name)(**{name: v for name, v in asked.items() if v is not None})
        also = {} if safe is None else {f"p_safe_at_{safe:g}": float(answer.probability_safe(safe))}
        print_answer(answer, prob, as_json, **also)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    summary = " ".join(said.split("\n\n")[0].split()).replace("Return", "Find", 1)
    name = decision.name.replace("_", "-")
    command.__doc__ = f"{summary}\n\nExample: bayeslaw decide {name} fit.nc {decision.example}"
    return command


def _parameter(argument: inspect.Parameter, said: str) -> inspect.Parameter:
    """Return the option of an argument: one of `OPTIONS`, or a number or flag with the help of its docstring."""
    kind = OPTIONS.get(argument.name, (None,))[0]
    if kind is None:
        found = re.search(rf"^(?:\w+, )*{argument.name}(?:, \w+)* : .*\n((?:    .+\n?)+)", said, re.M)
        text = re.split(r"[.;](?:\s|$)", " ".join(found[1].replace("`", "").split()))[0] + "." if found else None
        flag = argument.annotation is bool
        plain = bool if flag else float if argument.default is inspect.Parameter.empty else float | None
        name = f"--{argument.name.replace('_', '-')}"
        kind = Annotated[plain, typer.Option(name, help=text)]
    default = argument.default
    if default is not inspect.Parameter.empty and not isinstance(default, bool):
        default = Rule.tolerance if argument.name == "rule" else None
    return _keyword(argument.name, kind, default)


def _keyword(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
