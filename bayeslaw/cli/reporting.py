"""The commands that check a fit, write a report or a page to explore, and run the demonstration."""

from pathlib import Path
from typing import Annotated, Any

import typer

import bayeslaw as bl
from bayeslaw.base.numbers import amount, percent, probability, short
from bayeslaw.cli import options
from bayeslaw.cli.fitting import sampled
from bayeslaw.cli.printing import print_checks

__all__ = ["check", "demo", "explore", "report"]


def check(fit_file: options.FitFile, N: options.Size = None, D: options.Tokens = None) -> None:
    """Check whether a fit can be trusted, with --N or --D also a prediction there; exit code 1 if a check fails.

    Example: bayeslaw check fit.nc && bayeslaw report fit.nc -o report.md
    """
    planned = options.given(N=N or None, D=D or None)
    if not print_checks(options.load_fit(fit_file), **planned):
        raise typer.Exit(1)


def report(
    fits: Annotated[list[Path], typer.Argument(metavar="FIT.nc ...", help="A fit, or several to set side by side.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME.md", help="The file to write, .md or .html.")],
    baseline: options.Baseline = None,
    max_rise: options.MaxRise = None,
    max_increase: options.MaxIncrease = None,
) -> None:
    """Write a report, MyST Markdown or one HTML file; the default limits are no rise and 1 %.

    Example: bayeslaw report fit.nc -o docs/reports/law.md
    """
    question = options.given(baseline=options.read_baseline(baseline), max_rise=max_rise, max_increase=max_increase)
    asked = options.load_fit(fits[0]) if len(fits) == 1 else options.load_fits(fits)
    typer.echo(str(bl.report(asked, output, question=question)))


def explore(
    fit_file: options.FitFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NAME.html", help="The file to write the page to.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The heading.  [default: the law]")] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Largest number of draws in the page; fewer make it smaller.")
    ] = 300,
) -> None:
    """Write a page with a slider for every column of the law, and the bands of all losses at these values.

    Example: bayeslaw explore fit.nc -o page.html
    """
    typer.echo(str(options.load_fit(fit_file).explore(output, title=title, draws=draws)))


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of fit and report.")] = Path(
        "bayeslaw-demo"
    ),
    seed: options.Seed = 1,
    draws: options.Draws = 1000,
    chains: options.Chains = 4,
) -> None:
    """Fit the D-CPT law to real runs of four tiny models and decide on their mixture ratio.

    Example: bayeslaw demo -o bayeslaw-demo
    """
    from bayeslaw.reporting import critical_ratios

    table = bl.datasets.load("tinycpt")
    settled = (table["step"] == 0) | (table["step"] >= 300)
    design = table["set"].isin(["grid", "rep"]) & (table["domain"] == "python") & (table["schedule"] == "constant")
    model = bl.Model(
        bl.models.dcpt,
        bl.read_runs(table[design & settled]),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        reference={"N": 2e5, "D": 1e6},
    )
    typer.echo(f"Data: tinycpt, real continual pre-training of four tiny models on Python code.\n{model!r}\n")
    fit = sampled(model, output / "fit.nc", draws=draws, chains=chains, seed=seed)
    ratios = critical_ratios(fit)
    ratios["0.3 safe"] = [float(ratio.probability_safe(0.3)) for ratio in ratios["ratio"]]
    shown = ratios[["N", "limit", "critical ratio", "of a new run", "0.3 safe"]]
    formats: dict[str, Any] = {"N": amount, "0.3 safe": probability}
    typer.echo(
        f"\nCritical ratio at {amount(ratios['D'].iloc[0])} tokens: the largest share of Python that keeps the\n"
        f"general loss within the limit, with its {percent(options.probability(None))} interval: in the mean law, and "
        "in a new run\nwith its own error; '0.3 safe': probability that a share of 0.3 keeps the limit in the mean "
        "law.\n"
    )
    typer.echo(shown.to_string(index=False, formatters=formats) + "\n")
    print_checks(fit)
    typer.echo(f"\nFitted in {short(fit.seconds, 2)} s. Report: {bl.report(fit, output / 'report.md')}")
    typer.echo(f"Go on:  bayeslaw decide critical-ratio {output / 'fit.nc'} --N 922720 --D 1.536e6 --max-rise 0.01")
