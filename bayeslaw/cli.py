"""The command line. A face: it parses, calls the library, prints; heavy imports happen inside the commands.

Results go to standard output. A mistake is one line on standard error, exit code 2, and nothing is written.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bayeslaw.errors import BayeslawError, DataError, RangeError, StoreError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from bayeslaw.fit import Fit
    from bayeslaw.model import Model

__all__ = ["app"]


class OneLineErrors(TyperGroup):
    """Commands whose mistakes are one line on standard error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code; see `typer.core.TyperGroup.main`."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except BayeslawError as e:
            code = _complain(str(e))
        except typer.TyperException as e:
            code = _complain(f"{e.format_message().rstrip('.')}; --help shows an example")
        except typer.Abort:
            code = 130
        except BrokenPipeError:  # the reader of a pipe has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _complain(sentence: str) -> int:
    typer.echo(f"bayeslaw: {' '.join(sentence.split())}", err=True)
    return 2


app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    rich_markup_mode=None,
    help="Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure.",
)
decide = typer.Typer(rich_markup_mode=None, help="Answer a question, with a credible interval.")

FitFile = Annotated[Path, typer.Argument(metavar="FIT.nc", help="A fit that `bayeslaw fit` wrote.")]
Prob = Annotated[float | None, typer.Option(help="Probability of the interval (equal-tailed).  [default: 0.89]")]
NewRun = Annotated[
    bool, typer.Option("--new-run", help="For one new run, with its own error, instead of the mean law.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Domain = Annotated[str | None, typer.Option(help="Target domain, where the fit has several.")]
Baseline = Annotated[float | None, typer.Option(help="General loss before, in nats; left out: the D = 0 rows.")]
MaxRise = Annotated[float | None, typer.Option(help="Limit relative to the baseline: 0.03 is 3 %.")]
MaxIncrease = Annotated[float | None, typer.Option(help="Limit in nats.")]
RunsFile = Annotated[Path, typer.Argument(metavar="RUNS.csv", help="The measurements.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="NAME=COLUMN", help="N=params: a canonical name and the column it is in."),
]
Losses = Annotated[
    list[str] | None,
    typer.Option("--loss", metavar="EVAL=COLUMN", help="general=ppl_en: a validation set and its column of losses."),
]
By = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="COEFFICIENT=COLUMN", help="E=domain: partial pooling over a column."),
]
Priors = Annotated[
    list[str] | None,
    typer.Option(
        "--prior", metavar="COEFFICIENT=MEDIAN:SPREAD", help="alpha=0.35:0.3: log-normal, spread on the log scale."
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option("--reference", metavar="NAME=VALUE", help="N=2e5: the study's own reference run."),
]
Warmup = Annotated[
    int | None, typer.Option(metavar="STEPS", help="Curves: steps of the warm-up, where the log starts after it.")
]
Before = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.csv", help="Curves: step, lr (and run) of the pre-training before them; 'unknown': an open model."
    ),
]
Outside = Annotated[bool, typer.Option("--outside", help="Fit rows outside the law's range too.")]
Robust = Annotated[bool, typer.Option("--robust", help="Student-t errors: outliers pull less.")]
Seed = Annotated[int, typer.Option(help="Seed of the sampler.")]
Draws = Annotated[int, typer.Option(min=10, help="Draws per chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Number of chains.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from bayeslaw import __version__

        typer.echo(f"bayeslaw {__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure."""


@app.command()
def laws(law: Annotated[str | None, typer.Argument(metavar="[LAW]")] = None) -> None:
    """List the laws, or show the card of one: equation, priors and why, source, validity.

    Example: bayeslaw laws dcpt
    """
    from bayeslaw import models

    if law is not None:
        typer.echo(_law(law).card(), nl=False)
        return
    wide = max(map(len, models.catalogue))
    for name, entry in sorted(models.catalogue.items()):
        typer.echo(f"{name:{wide}}  {entry.title}: {', '.join(entry.columns)}; {entry.source}")


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Write the table there.")
    ] = None,
) -> None:
    """List the data sets, show the card of one, or write its table.

    Example: bayeslaw data tinycpt -o runs.csv
    """
    from bayeslaw import datasets

    if name is None:
        if output is not None:
            raise RangeError("name the data set to write, for example: bayeslaw data tinycpt -o runs.csv")
        catalogue = datasets.catalogue()
        wide = max(map(len, catalogue["name"]))
        for entry in catalogue.itertuples():
            typer.echo(f"{entry.name:{wide}}  {entry.rows:>7} rows  {entry.home:9}  {entry.what}")
    elif output is None:
        typer.echo(str(datasets.card(name)))
    else:
        table = datasets.load(name)
        _write_csv(table, output)
        typer.echo(f"{output}: {len(table)} rows")


@app.command()
def fit(
    law: Annotated[str, typer.Argument(metavar="LAW", help="A name of `bayeslaw laws`.")],
    runs: RunsFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FIT.nc", help="Where the fit goes.")],
    columns: Columns = None,
    loss: Losses = None,
    by: By = None,
    prior: Priors = None,
    reference: References = None,
    seed: Seed = 1,
    draws: Draws = 1000,
    chains: Chains = 4,
    outside: Outside = False,
    robust: Robust = False,
    warmup: Warmup = None,
    before: Before = None,
) -> None:
    """Fit a law to a table of runs and keep the posterior; laws of curves read run, step, lr and losses.

    Example: bayeslaw fit dcpt runs.csv -o fit.nc --map N=params --by E=domain --prior alpha=0.35:0.3
    """
    from bayeslaw.report import replacing

    model = _model(law, runs, columns, loss, by, prior, reference, outside, robust, warmup, before)
    with replacing(output) as temporary:
        result = model.fit(draws=draws, chains=chains, seed=seed, progress=True)
        result.save(temporary)
    typer.echo(repr(model))
    typer.echo(result.summary().to_string(float_format="{:.4g}".format))
    _print_checks(result)
    typer.echo(f"{output}: {chains} chains of {draws} draws in {result.seconds:.0f} s")


def _model(
    law: str,
    runs: Path,
    columns: Iterable[str] | None,
    loss: Iterable[str] | None,
    by: Iterable[str] | None,
    prior: Iterable[str] | None,
    reference: Iterable[str] | None,
    outside: bool,
    robust: bool,
    warmup: int | None,
    before: str | None,
) -> "Model":
    from bayeslaw import Model, Noise, read_curves, read_runs
    from bayeslaw.curves import is_curve_law
    from bayeslaw.priors import read_prior

    entry, curves = _law(law), _given(warmup=warmup, before=_before(before))
    losses: dict[str, str] | str | None = _pairs(loss, "--loss", "general=general_loss") or None
    named: dict[str, Any] = {"loss": losses, **_pairs(columns, "--map", "N=params")}
    if curves and not is_curve_law(entry):
        raise RangeError(f"the law {law} has no schedule: leave --{' and --'.join(curves)} out")
    return Model(
        entry,
        read_curves(runs, **curves, **named) if is_curve_law(entry) else read_runs(runs, **named),
        by=_pairs(by, "--by", "E=domain"),
        priors={k: read_prior(v) for k, v in _pairs(prior, "--prior", "alpha=0.35:0.3").items()},
        reference={k: _number(v, "--reference") for k, v in _pairs(reference, "--reference", "N=2e5").items()},
        noise=Noise(robust=robust),
        outside="include" if outside else "exclude",
    )


@app.command()
def evaluate(
    law: Annotated[
        str, typer.Argument(metavar="FIT.nc | LAW", help="A fit, to refit its model, or a name of `bayeslaw laws`.")
    ],
    runs: Annotated[Path | None, typer.Argument(metavar="[RUNS.csv]", help="The measurements, after a LAW.")] = None,
    splits: Annotated[
        str | None,
        typer.Option(metavar="SPLITS", help="by:N, by:N,domain_share, largest:N, late:D:0.6, segments:D:3 or runs:5."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="N: short for --splits by:N. After a LAW also COEFFICIENT=COLUMN, E=domain: partial pooling.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="SCORES.csv", help="Write the scores of every fold there.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep finished folds there; do not fit those again.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Folds fitted at a time; -1: one per core.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="tcp://127.0.0.1:8786: fit on the workers of a Dask scheduler."),
    ] = None,
    columns: Columns = None,
    loss: Losses = None,
    prior: Priors = None,
    reference: References = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler.  [default: 1, or the fit's]")] = None,
    draws: Annotated[int | None, typer.Option(min=10, help="Draws per chain.  [default: 500, or the fit's]")] = None,
    chains: Annotated[int | None, typer.Option(min=1, help="Number of chains.  [default: 4, or the fit's]")] = None,
    outside: Outside = False,
    robust: Robust = False,
    warmup: Warmup = None,
    before: Before = None,
    prob: Prob = None,
) -> None:
    """Refit without each part of the runs and score the predictions there; exit 1 if a refit fails.

    Example: bayeslaw evaluate fit.nc --by N --folder folds -o scores.csv
    """
    from contextlib import nullcontext

    import bayeslaw as bl
    from bayeslaw.report import replacing
    from bayeslaw.splits import read_splits

    held_out = [column for column in by or () if "=" not in column]
    pooled = [pair for pair in by or () if "=" in pair]
    if (splits is None) != bool(held_out):
        raise RangeError("say once what to hold out: --by N, or other splits such as --splits largest:N")
    settings: dict[str, Any] = _given(seed=seed, draws=draws, chains=chains)
    if law.endswith(".nc"):
        own: dict[str, Any] = {
            "--map": columns,
            "--loss": loss,
            "--by": pooled,
            "--prior": prior,
            "--reference": reference,
        }
        own |= {"--outside": outside, "--robust": robust, "--warmup": warmup, "--before": before, "RUNS.csv": runs}
        if given := [name for name, value in own.items() if value]:
            raise RangeError(f"{law} has its own runs and model: leave {' and '.join(given)} out")
        result = _load(Path(law))
        model, settings = result.model, {**result.settings, **settings}
    elif runs is None:
        raise RangeError(f"name the measurements after the law, as in: bayeslaw evaluate {law} runs.csv --by N")
    else:
        model = _model(law, runs, columns, loss, pooled, prior, reference, outside, robust, warmup, before)
        settings = {"seed": 1, **settings}
    asked = read_splits(splits or f"by:{','.join(held_out)}", settings["seed"])
    with nullcontext() if output is None else replacing(output) as temporary:
        found = bl.evaluate(model, asked, prob=_prob(prob), folder=folder, jobs=jobs, scheduler=scheduler, **settings)
        if temporary is not None:
            found.frame().to_csv(temporary, index=False)
    typer.echo(repr(found))
    typer.echo(found.frame().to_string(index=False, float_format="{:.4g}".format))
    for fold in found.failed.itertuples():
        typer.echo(f"FAIL  {fold.fold}: {fold.error}: {fold.reason}")
    if len(found.failed):
        raise typer.Exit(1)


@app.command()
def compare(
    fits: Annotated[list[Path], typer.Argument(metavar="FIT.nc FIT.nc ...", help="Fits of the same measurements.")],
) -> None:
    """Compare fits by how well they predict runs that they have not seen; the best comes first.

    Example: bayeslaw compare pooled.nc by-domain.nc
    """
    import warnings

    import bayeslaw as bl

    alike = len({path.stem for path in fits}) < len(fits)
    named = {str(path) if alike else path.stem: path for path in fits}
    if len(named) < len(fits):
        raise RangeError("a fit is named twice: give each file once")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = bl.compare({name: _load(path) for name, path in named.items()})
    typer.echo(found.to_string(float_format="{:.4g}".format))
    for warning in caught:
        typer.echo(f"note: {warning.message}")


@app.command()
def predict(
    fit_file: FitFile,
    grid: Annotated[Path, typer.Argument(metavar="GRID.csv", help="Where to predict, one row each.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PRED.csv", help="Where the table goes.")],
    prob: Prob = None,
    new_run: NewRun = False,
    warmup: Warmup = None,
    before: Before = None,
) -> None:
    """Predict losses row by row: the columns of the grid, then mean, sd, lower, upper; laws of curves need step and lr.

    Example: bayeslaw predict fit.nc grid.csv -o predicted.csv --new-run
    """
    from bayeslaw.curves import curve_columns, is_curve_law
    from bayeslaw.runs import read_table

    result, table = _load(fit_file), read_table(grid)
    if not len(table):
        raise DataError(f"{grid} has no rows: give at least one to predict")
    known, curves = table, _given(warmup=warmup, before=_before(before))
    if is_curve_law(result.model.law):
        known = curve_columns(table, result.model.runs, **curves)
    elif curves:
        raise RangeError(f"the law {result.model.law.name} has no schedule: leave --{' and --'.join(curves)} out")
    predicted = _predict(result, known, _prob(prob), new_run).drop(columns=known.columns.difference(table.columns))
    _write_csv(predicted, output)
    what = "a new run" if new_run else "the mean law"
    typer.echo(f"{output}: {len(predicted)} rows, {what}, {_prob(prob):.0%} intervals")


def _predict(result: "Fit", table: "pd.DataFrame", prob: float, new_run: bool) -> "pd.DataFrame":
    import pandas as pd
    import xarray as xr

    needed = dict.fromkeys([*result.model.law.columns, *result.model.design.groups])
    for column in needed:
        if column not in table:
            raise unknown_name("column in the grid for the law's", column, table.columns)
        if column in result.model.law.columns and not pd.api.types.is_numeric_dtype(table[column]):
            raise DataError(f"column {column!r} of the grid holds text: give numbers")
        if (missing := table[column].isna()).any():
            first = int(missing.to_numpy().argmax()) + 1
            raise DataError(f"{column} is missing in row {first} of the grid: fill it in")
    asked = {str(c): xr.DataArray(table[c].to_numpy(), dims="row") for c in needed}
    answers = result.bands(result.columns(**asked), prob=prob, new_run=new_run).set_index("row")
    if len(result.evals) == 1:
        answers = answers.drop(columns="eval")
    kept = table.reset_index(drop=True).drop(columns=answers.columns, errors="ignore")
    joined: pd.DataFrame = kept.join(answers)
    return joined.reset_index(drop=True)


class Rule(StrEnum):
    """How the limit of a critical ratio is set; the library knows what each means."""

    tolerance = "tolerance"
    break_even = "break-even"
    turning_point = "turning-point"


@decide.command("critical-ratio")
def critical_ratio(
    fit_file: FitFile,
    N: Annotated[float | None, typer.Option("--N", help="Model size in parameters, where the law has one.")] = None,
    D: Annotated[float | None, typer.Option("--D", help="Tokens, where the law has them.")] = None,
    baseline: Baseline = None,
    rule: Annotated[Rule, typer.Option(help="break-even: no rise; tolerance: up to a limit.")] = Rule.tolerance,
    max_rise: MaxRise = None,
    max_increase: MaxIncrease = None,
    domain: Domain = None,
    safe: Annotated[float | None, typer.Option(min=0, max=1, help="Also say how probably this share is safe.")] = None,
    prob: Prob = None,
    new_run: NewRun = False,
    as_json: AsJson = False,
) -> None:
    """Find the largest domain share that keeps the general loss within a limit.

    Example: bayeslaw decide critical-ratio fit.nc --N 1.8e9 --D 1e10 --baseline 2.8602 --max-rise 0.03
    """
    given = _given(N=N, D=D, domain=domain, baseline=baseline, max_rise=max_rise, max_increase=max_increase)
    ratio = _load(fit_file).critical_ratio(rule=rule.value, new_run=new_run, **given)
    extra = {} if safe is None else {f"p_safe_at_{safe:g}": float(ratio.probability_safe(safe))}
    _print_answer(ratio, _prob(prob), as_json, extra)


@decide.command("best-ratio")
def best_ratio(
    fit_file: FitFile,
    N: Annotated[float, typer.Option("--N", help="Model size in parameters.")],
    domain_tokens: Annotated[float, typer.Option(help="Domain tokens there are; general text fills up the rest.")],
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the domain share with the lowest domain loss when domain text is scarce.

    Example: bayeslaw decide best-ratio fit.nc --N 1.8e9 --domain-tokens 5e9
    """
    answer = _load(fit_file).best_ratio(N=N, domain_tokens=domain_tokens, **_given(domain=domain))
    _print_answer(answer, _prob(prob), as_json)


@decide.command("allocation")
def allocation(
    fit_file: FitFile,
    flops: Annotated[float, typer.Option(help="Compute budget, 6 N D.")],
    domain_share: Annotated[float | None, typer.Option(min=0, max=1, help="Where the law has one.")] = None,
    domain: Domain = None,
    prob: Prob = None,
    as_json: AsJson = False,
) -> None:
    """Find the model size and tokens with the lowest loss for a compute budget.

    Example: bayeslaw decide allocation fit.nc --flops 1e21 --domain-share 0.5
    """
    answer = _load(fit_file).allocation(flops=flops, **_given(domain_share=domain_share, domain=domain))
    _print_answer(answer, _prob(prob), as_json)


app.add_typer(decide, name="decide")


@app.command()
def check(fit_file: FitFile) -> None:
    """Say whether a fit can be trusted: exit code 0 if all checks pass, 1 if one fails.

    Example: bayeslaw check fit.nc && bayeslaw report fit.nc -o report.md
    """
    if not _print_checks(_load(fit_file)):
        raise typer.Exit(1)


@app.command()
def report(
    fit_file: FitFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME.md", help="Where it goes: .md or .html.")],
    baseline: Baseline = None,
    max_rise: MaxRise = None,
    max_increase: MaxIncrease = None,
) -> None:
    """Write a report, MyST Markdown or one HTML file; without a limit it answers for no rise and for 1 %.

    Example: bayeslaw report fit.nc -o docs/reports/law.md
    """
    from bayeslaw.report import write_report

    question = _given(baseline=baseline, max_rise=max_rise, max_increase=max_increase)
    typer.echo(str(write_report(_load(fit_file), output, question=question)))


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where fit and report go.")] = Path(
        "bayeslaw-demo"
    ),
    seed: Seed = 1,
    draws: Draws = 1000,
    chains: Chains = 4,
) -> None:
    """Fit the D-CPT law to real runs of four tiny models and decide on their mixture ratio.

    Example: bayeslaw demo -o bayeslaw-demo
    """
    import bayeslaw as bl
    from bayeslaw import models
    from bayeslaw.report import critical_ratios, replacing, write_report

    table = bl.datasets.load("tinycpt")
    settled = (table["step"] == 0) | (table["step"] >= 300)
    design = table["set"].isin(["grid", "rep"]) & (table["domain"] == "python") & (table["schedule"] == "constant")
    model = bl.Model(
        models.dcpt,
        bl.read_runs(table[design & settled]),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        reference={"N": 2e5, "D": 1e6},
    )
    typer.echo(f"Data: tinycpt, real continual pre-training of four tiny models on Python code.\n{model!r}\n")
    with replacing(output / "fit.nc") as temporary:
        fit = model.fit(draws=draws, chains=chains, seed=seed, progress=True)
        fit.save(temporary)
    ratios = critical_ratios(fit)
    ratios["0.3 safe"] = [float(ratio.probability_safe(0.3)) for ratio in ratios["ratio"]]
    shown = ratios[["N", "limit", "critical ratio", "of a new run", "0.3 safe"]]
    formats = {"N": "{:,.0f}".format} | {"0.3 safe": "{:.2f}".format}
    typer.echo(f"\nCritical ratio at D = {ratios['D'].iloc[0]:.4g} tokens: the largest share of Python that keeps the")
    typer.echo(
        f"general loss within the limit, with its {_prob(None):.0%} interval: in the mean law, and in a single new "
        "run, whose\nown luck counts too; '0.3 safe': probability that a share of 0.3 is, in the mean law.\n"
    )
    typer.echo(shown.to_string(index=False, formatters=formats) + "\n")
    _print_checks(fit)
    typer.echo(f"\nFitted in {fit.seconds:.0f} s. Report: {write_report(fit, output / 'report.md')}")
    typer.echo(f"Go on:  bayeslaw decide critical-ratio {output / 'fit.nc'} --N 922720 --D 1.536e6 --max-rise 0.01")


def _law(name: str) -> Any:
    from bayeslaw import models

    if name not in models.catalogue:
        raise unknown_name("law", name, models.catalogue)
    return models.catalogue[name]


def _load(path: Path) -> "Fit":
    from bayeslaw.store import load

    if not path.is_file():
        raise StoreError(f"no file {str(path)!r}: give a fit that `bayeslaw fit` wrote")
    return load(path)


def _pairs(values: Iterable[str] | None, option: str, example: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in values or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise RangeError(f"cannot read {option} {text!r}: write it like {option} {example}")
        if name in pairs:
            raise RangeError(f"{option} names {name!r} twice: keep one of the two")
        pairs[name] = value
    return pairs


def _before(text: str | None) -> Any:
    from bayeslaw import schedules

    return schedules.unknown() if text == "unknown" else text


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RangeError(f"{option}: {text!r} is not a number") from None


def _prob(prob: float | None) -> float:
    from bayeslaw.quantity import CI_PROB

    if prob is None:
        return CI_PROB
    if not 0 < prob < 1:
        raise RangeError(f"--prob is {prob:g}: give a probability between 0 and 1, for example 0.89")
    return prob


def _write_csv(table: "pd.DataFrame", path: Path) -> None:
    from bayeslaw.report import replacing

    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def _print_checks(result: "Fit") -> bool:
    checks = result.checks()
    for one in checks:
        typer.echo(f"{'pass' if one.passed else 'FAIL'}  {one.name}: {one.text}")
    return bool(checks.passed)


def _print_answer(answer: Any, prob: float, as_json: bool, extra: dict[str, float] | None = None) -> None:
    if as_json:
        typer.echo(json.dumps(answer.as_json(prob) | (extra or {})))
        return
    typer.echo(answer.frame(prob).to_string() if prob != _prob(None) else str(answer))
    for name, value in (extra or {}).items():
        typer.echo(f"{name}  {value:.3f}")


if __name__ == "__main__":
    app()
