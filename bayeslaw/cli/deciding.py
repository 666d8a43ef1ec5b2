"""A command for every decision, with options made from the signature of its function."""

import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bayeslaw.base.numbers import exact
from bayeslaw.cli import options
from bayeslaw.cli.mistakes import OnceEach
from bayeslaw.cli.options import (
    load_fit,
    load_fits,
    numbers,
    one_or_several,
    pairs,
    read_baseline,
    read_before,
    read_goal,
)
from bayeslaw.cli.printing import print_answer, print_stack
from bayeslaw.decisions import DECISIONS, Decision
from bayeslaw.errors import RangeError
from bayeslaw.tables.areas import read_schedule

__all__ = ["commands", "keyword", "question", "question_options"]


class Rule(StrEnum):
    """The rules of `bayeslaw.Fit.critical_ratio` as choices of an option."""

    tolerance = "tolerance"
    break_even = "break-even"
    turning_point = "turning-point"


def _shares(flag: str, example: str, what: str) -> tuple[Any, Callable[[Any], Any]]:
    """Return a repeatable option of numbers by source, and its reader."""
    metavar = "SOURCE=TOKENS" if float(example.partition("=")[2]) > 1 else "SOURCE=SHARE"
    option = Annotated[list[str] | None, typer.Option(flag, metavar=metavar, help=f"{example}: {what}")]
    return option, lambda given: numbers(given, flag, example) or None


def _plain(given: Any) -> Any:
    return given


def _cost(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _pretraining(text: str) -> Any:
    stage = read_before(text)
    return read_schedule(stage) if isinstance(stage, str) else stage


PLANS = Annotated[
    list[str],
    typer.Option("--candidate", metavar="NAME=FILE.csv", help="wsd=wsd.csv: step, lr of a schedule; at least two."),
]
COST = Annotated[
    str | None,
    typer.Option(
        "--flops-per-token",
        metavar="NUMBER|COLUMN",
        help="FLOPs per token and parameter, or a column with the FLOPs per token of each model size.  [default: 6]",
    ),
]
EVALS = Annotated[
    list[str] | None,
    typer.Option("--eval", help="The validation set whose loss counts, or a role; critical-ratio takes several."),
]
ALSO = Annotated[
    list[Path] | None,
    typer.Option(
        "--also",
        metavar="FIT.nc",
        help="Another fit of the same runs: both answer, weighted by how well they predict held-out runs.",
    ),
]
LABELS = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COLUMN=LABEL", help="family=opt: which group of a fit pooled over that column."),
]
PLAN = Annotated[Path, typer.Argument(metavar="SCHEDULE.csv", help="step, lr of the longest curve to consider.")]
STAGE2 = Annotated[Path, typer.Argument(metavar="STAGE2.nc", help="A fit from loss to score.")]
WEIGHT = "The turning point of domain loss + this x general loss, instead of the general loss."
BESIDE = "With --weight: a fit of the domain loss, if FIT.nc has none."
TOGETHER = "One share at which the losses of all validation sets stay within their limits."
RULE = "tolerance: up to a limit; break-even: no rise; turning-point: falling again by --D."
PULL = "With --near: the gain in nats that justifies a nat of Kullback-Leibler divergence."

OPTIONS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "N": (options.Size, one_or_several),
    "D": (options.Tokens, one_or_several),
    "U": (options.Unique, one_or_several),
    "flops_per_token": (COST, _cost),
    "eval": (EVALS, one_or_several),
    "domain": (options.Domain, one_or_several),
    "domain_share": (options.Share, one_or_several),
    "labels": (LABELS, lambda given: pairs(given, "--label", "family=opt")),
    "goal": (options.Goals, read_goal),
    "baseline": (options.Baseline, read_baseline),
    "max_rise": (options.MaxRise, _plain),
    "max_increase": (options.MaxIncrease, _plain),
    "new_run": (options.NewRun, _plain),
    "together": (Annotated[bool, typer.Option("--together", help=TOGETHER)], _plain),
    "rule": (Annotated[Rule, typer.Option(help=RULE)], lambda rule: rule.value),
    "weight": (Annotated[float | None, typer.Option(help=WEIGHT)], _plain),
    "beside": (Annotated[Path | None, typer.Option(metavar="FIT.nc", help=BESIDE)], load_fit),
    "at_most": _shares("--max", "github=0.3", "at most this share of it."),
    "at_least": _shares("--min", "web=0.1", "at least this share of it."),
    "available": _shares("--available", "github=2e9", "the tokens of it that exist; needs --D."),
    "near": _shares("--near", "web=0.6", "a share of the mixture to stay near to."),
    "pull": (Annotated[float | None, typer.Option(help=PULL)], _plain),
    "mixture": _shares("--mixture", "web=0.7", "a share of the mixture."),
    "than": _shares("--than", "web=1", "a share of the other mixture."),
    "candidates": (PLANS, lambda given: pairs(given, "--candidate", "wsd=wsd.csv")),
    "schedule": (PLAN, _plain),
    "before": (options.Pretraining, _pretraining),
    "stage2": (STAGE2, load_fit),
}
"""Option and reader of every argument that is no plain number or flag."""

WITHOUT_OPTION = ("fit", "seed", "vectors")
"""Arguments that no command takes."""


def commands() -> dict[str, Any]:
    """Return a command for every decision, by its name."""
    app = typer.Typer(rich_markup_mode=None)
    for decision in DECISIONS.values():
        app.command(decision.name.replace("_", "-"), cls=OnceEach)(_command(decision))
    return dict(typer.main.get_group(app).commands)


def question_options(ask: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the arguments of a decision as options of a command."""
    text, arguments = inspect.getdoc(ask) or "", inspect.signature(ask).parameters.values()
    parameters = [_parameter(p, text) for p in arguments if p.name not in WITHOUT_OPTION]
    if {p.name for p in parameters} & {"candidates", "schedule"}:
        parameters.append(keyword("warmup", options.Warmup, None))
    return parameters


def question(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a decision from the values of its options."""
    warmup = given.pop("warmup", None)
    asked = {name: _read(name, value) for name, value in given.items() if value is not None}
    if "candidates" in asked:
        plans = asked["candidates"].items()
        asked["candidates"] = {name: read_schedule(path, warmup=warmup) for name, path in plans}
    if "schedule" in asked:
        asked["schedule"] = read_schedule(asked["schedule"], warmup=warmup)
    return {name: value for name, value in asked.items() if value is not None}


def _command(decision: Decision) -> Callable[..., None]:
    """Return the command of a decision, with the arguments of its function as options."""
    parameters = [keyword("fit_file", options.FitFile), *question_options(decision.ask)]
    if "max_rise" in {p.name for p in parameters}:
        parameters.append(keyword("safe", options.Safe, None))
    parameters += [keyword("also", ALSO, None), keyword("prob", options.Prob, None)]
    parameters.append(keyword("as_json", options.AsJson, False))

    def command(fit_file: Path, also: list[Path] | None, prob: float | None, as_json: bool, **given: Any) -> None:
        safe = given.pop("safe", None)
        asked = question(given)
        if also:
            from bayeslaw.validation.stacking import Stack, known_to

            if safe is not None:
                raise RangeError("--safe needs a single fit: leave --safe out, or leave --also out")
            fits = load_fits([fit_file, *also])
            stack = Stack.of(fits, lambda fit: getattr(fit, decision.name)(**known_to(fit, asked)))
            print_stack(stack, prob, as_json)
            return
        answer: Any = getattr(load_fit(fit_file), decision.name)(**asked)
        beside = {} if safe is None else {f"p_safe_at_{exact(safe)}": answer.probability_safe(safe).values.tolist()}
        print_answer(answer, prob, as_json, **beside)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    text = inspect.getdoc(decision.ask) or ""
    summary = " ".join(text.split("\n\n")[0].split()).replace("Return", "Find", 1)
    name = decision.name.replace("_", "-")
    command.__doc__ = f"{summary}\n\nExample: bayeslaw decide {name} fit.nc {decision.example}"
    return command


def _read(name: str, value: Any) -> Any:
    if name in OPTIONS:
        return OPTIONS[name][1](value)
    return one_or_several(value) if isinstance(value, list) else value


def _parameter(argument: inspect.Parameter, docstring: str) -> inspect.Parameter:
    """Return the option of an argument: one of `OPTIONS`, or a number or flag whose help is in the docstring.

    A number that the function takes several of, annotated as Any, may be repeated.
    """
    kind = OPTIONS.get(argument.name, (None,))[0]
    if kind is None:
        found = re.search(rf"^(?:\w+, )*{argument.name}(?:, \w+)* : .*\n((?:    .+\n?)+)", docstring, re.M)
        text = re.split(r"[.;](?:\s|$)", " ".join(found[1].replace("`", "").split()))[0] + "." if found else None
        number = list[float] if argument.annotation is Any else float
        required = argument.default is inspect.Parameter.empty
        plain = bool if argument.annotation is bool else number if required else number | None
        kind = Annotated[plain, typer.Option(f"--{argument.name.replace('_', '-')}", help=text)]
    default = argument.default
    if default is not inspect.Parameter.empty and not isinstance(default, bool):
        default = Rule.tolerance if argument.name == "rule" else None
    return keyword(argument.name, kind, default)


def keyword(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return a parameter of a command."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
