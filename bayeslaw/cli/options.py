"""Options that several commands share, and the readers of their values."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

import bayeslaw as bl
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import exact
from bayeslaw.errors import LawError, RangeError, StoreError, unknown_name

if TYPE_CHECKING:
    from bayeslaw.validation.splits import Splits


def _checked(prob: float | None) -> float | None:
    if prob is not None and not 0 < prob < 1:
        raise RangeError(f"--prob is {exact(prob)}: give a probability between 0 and 1, for example 0.89")
    return prob


Texts = list[str] | None
FitFile = Annotated[Path, Argument(metavar="FIT.nc", help="A fit that `bayeslaw fit` wrote.")]
Prob = Annotated[
    float | None, Option(help="Probability of the interval (equal-tailed).  [default: 0.89]", callback=_checked)
]
NewRun = Annotated[bool, Option("--new-run", help="For one new run, with its own error, instead of the mean law.")]
AsJson = Annotated[bool, Option("--json", help="Print one JSON object.")]
Numbers = list[float] | None
Domain = Annotated[Texts, Option(help="Target domain, where the fit has several; may be repeated.")]
Size = Annotated[Numbers, Option("--N", help="Model size in parameters, where the law has one; may be repeated.")]
Tokens = Annotated[Numbers, Option("--D", help="Tokens, where the law has them; may be repeated.")]
Unique = Annotated[Numbers, Option("--U", help="Unique tokens, where the law counts epochs; may be repeated.")]
Share = Annotated[Numbers, Option(min=0, max=1, help="Domain share, where the law has one; may be repeated.")]
Goals = Annotated[
    Texts,
    Option("--goal", metavar="EVAL[=WEIGHT]", help="general=0.3: a validation set that counts, and its weight."),
]
Baseline = Annotated[
    Texts,
    Option(
        metavar="[EVAL=]NATS",
        help="The general loss before training, or pile=2.86: of one validation set.  [default: rows at D = 0]",
    ),
]
MaxRise = Annotated[float | None, Option(help="Limit relative to the baseline: 0.03 is 3 %.")]
MaxIncrease = Annotated[float | None, Option(help="Limit in nats.")]
Safe = Annotated[float | None, Option(min=0, max=1, help="Also say how probably this share (or replay) is safe.")]
Pretraining = Annotated[
    str | None,
    Option("--before", metavar="FILE.csv", help="step, lr of the pre-training before; 'unknown' for an open model."),
]
RunsFile = Annotated[Path, Argument(metavar="RUNS.csv", help="The measurements.")]
Columns = Annotated[
    Texts, Option("--map", metavar="NAME=COLUMN", help="N=params: a canonical name and its column in the table.")
]
Losses = Annotated[
    Texts,
    Option(
        "--loss",
        metavar="EVAL=COLUMN",
        help="general=loss_en: a validation set and its column of losses, in nats per token.",
    ),
]
Units = Annotated[
    Texts,
    Option(
        "--unit", metavar="[EVAL=]UNIT", help="Unit of all losses, or of one: nats, bits, 'bits per byte', perplexity."
    ),
]
BytesPerToken = Annotated[
    Texts, Option("--bytes-per-token", metavar="[EVAL=]BYTES", help="Mean bytes per token of losses in bits per byte.")
]
By = Annotated[
    Texts,
    Option(
        "--by",
        metavar="COEFFICIENT=COLUMN",
        help="E=domain: partial pooling over a column; E=eval: over the validation sets of a role.",
    ),
]
Roles = Annotated[
    Texts,
    Option("--role", metavar="EVAL=ROLE", help="pile=general: the role of a validation set in the law."),
]
Priors = Annotated[
    Texts,
    Option("--prior", metavar="COEFFICIENT=MEDIAN:SPREAD", help="alpha=0.35:0.3: log-normal, spread on the log scale."),
]
References = Annotated[Texts, Option("--reference", metavar="NAME=VALUE", help="N=2e5: a reference run of your own.")]
Warmup = Annotated[
    int | None, Option(metavar="STEPS", help="Curves: steps of the warm-up, if the log starts after it.")
]
Memory = Annotated[
    float | None,
    Option(metavar="LAMBDA", help="Curves: lambda of the annealing area.  [default: 0.999, for runs of many steps]"),
]
Before = Annotated[
    str | None,
    Option(
        metavar="FILE.csv", help="Curves: step, lr (and run) of the pre-training before; 'unknown' for an open model."
    ),
]
Outside = Annotated[
    bool | None,
    Option(
        "--outside/--inside",
        help="Fit rows outside the law's range too, or leave all of them out.  [default: leave them out, refuse more "
        "than a tenth]",
    ),
]
Misfit = Annotated[
    bool | None,
    Option(
        "--misfit/--law-alone",
        help="Smooth functions along scales for what the law misses, or none.  [default: none for a single run]",
    ),
]
Robust = Annotated[bool, Option("--robust", help="Student-t errors, so that outliers count less.")]
Seed = Annotated[int, Option(help="Seed of the sampler.")]
Draws = Annotated[int, Option(min=10, help="Draws per chain.")]
Chains = Annotated[int, Option(min=1, help="Number of chains.")]


def law_named(name: str) -> Any:
    """Return a law of the catalogue."""
    laws = bl.models.catalogue
    if name not in laws:
        raise unknown_name("law", name, laws)
    return laws[name]


def load_fit(path: Path) -> "bl.Fit":
    """Return a fit from its file."""
    from bayeslaw import workflow

    if not path.is_file():
        raise StoreError(f"there is no file {str(path)!r}: give a fit that `bayeslaw fit` wrote")
    return workflow.load(path)


def load_fits(paths: list[Path]) -> "dict[str, bl.Fit]":
    """Return several fits by the names of their files."""
    alike = len({path.stem for path in paths}) < len(paths)
    named = {str(path) if alike else path.stem: path for path in paths}
    if len(named) < len(paths):
        raise RangeError("a fit is named twice: give each file once")
    return {name: load_fit(path) for name, path in named.items()}


def one_or_several(values: list[Any] | None) -> Any:
    """Return the values of a repeatable option: None if there is none, one value alone, or a list."""
    return values[0] if values and len(values) == 1 else values or None


def pairs(values: Iterable[str] | None, option: str, example: str) -> dict[str, str]:
    """Return the values of a repeatable option ``name=value``, by name."""
    found: dict[str, str] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise RangeError(f"cannot read {option} {text!r}: write it like {option} {example}")
        if name in found:
            raise RangeError(f"{option} names {name!r} twice: keep one of the two")
        found[name] = value
    return found


def numbers(values: Iterable[str] | None, option: str, example: str) -> dict[str, float]:
    """Return the values of a repeatable option ``name=number``, by name."""
    found = {}
    for name, text in pairs(values, option, example).items():
        try:
            found[name] = float(text)
        except ValueError:
            raise RangeError(f"{option}: {text!r} is not a number; write one like 0.3 or 2e9") from None
    return found


def read_units(units: Iterable[str] | None, bytes_per_token: Iterable[str] | None) -> dict[str, Any]:
    """Return the arguments `unit` and `bytes_per_token` of the readers, as far as they are given."""
    found: dict[str, Any] = {}
    if units:
        found["unit"] = _for_all(units) or pairs(units, "--unit", "general=perplexity")
    if bytes_per_token:
        size = _for_all(bytes_per_token)
        named = numbers([f"all={size}"] if size else bytes_per_token, "--bytes-per-token", "general=4.3")
        found["bytes_per_token"] = named["all"] if size else named
    return found


def read_baseline(values: Iterable[str] | None) -> float | dict[str, float] | None:
    """Return one baseline, or baselines by validation set; None if there is none."""
    if not values:
        return None
    one = _for_all(values)
    named = numbers([f"all={one}"] if one else values, "--baseline", "pile=2.86")
    return named["all"] if one else named


def _for_all(values: Iterable[str]) -> str | None:
    """Return the value of an option that is given once, without a name."""
    given = list(values)
    return given[0] if len(given) == 1 and "=" not in given[0] else None


def read_goal(values: Iterable[str] | None) -> dict[str, float] | None:
    """Return the weights of validation sets, 1 by default."""
    return numbers((text if "=" in text else f"{text}=1" for text in values or ()), "--goal", "general=0.3") or None


def read_prior(text: str) -> "bl.Prior":
    """Return the prior written as ``median:spread``."""
    try:
        median, spread = (float(part) for part in text.split(":"))
    except ValueError:
        raise LawError(f"cannot read the prior {text!r}: write median:spread, for example alpha=0.35:0.3") from None
    return bl.positive(median, spread)


def read_splits(text: str, seed: int = 0) -> "Splits":
    """Return splits written as text: `by:N,domain_share`, `largest:N`, `late:D:0.6`, `segments:D:3`, `runs:5`."""
    name, *words = text.split(":")
    splits = bl.splits
    kinds: dict[str, Callable[..., Splits]] = {
        "by": lambda columns: splits.by(*columns.split(",")),
        "largest": splits.largest,
        "late": lambda path, fraction="0.6": splits.late(path, float(fraction)),
        "segments": lambda path, number="3": splits.segments(path, int(number)),
        "runs": lambda number: splits.runs(int(number), seed),
    }
    if name not in kinds:
        raise unknown_name("splits", name, kinds)
    try:
        return kinds[name](*words)
    except RangeError:
        raise
    except (TypeError, ValueError):
        raise RangeError(
            f"cannot read the splits {text!r}: write by:N, by:N,domain_share, largest:N, late:D:0.6, segments:D:3 or "
            "runs:5"
        ) from None


def read_before(text: str | None) -> Any:
    """Return the schedule of pre-training for 'unknown'; any other text is the path of a table."""
    return bl.schedules.unknown() if text == "unknown" else text


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def probability(prob: float | None) -> float:
    """Return the probability of an interval, or its default."""
    return CI_PROB if prob is None else prob
