"""The command line and the report: what they print, exit with and leave behind. A made-up posterior, no sampling."""

import dataclasses
import errno
import inspect
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models, workflow
from bayeslaw.base.files import replacing
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.checks import CheckResult, Checks
from bayeslaw.cli import app, printing
from bayeslaw.decisions import DECISIONS
from bayeslaw.posterior import inference
from bayeslaw.reporting import content, report
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in

SAMPLE = {"chain": np.arange(2), "draw": np.arange(50)}
MIDDLES = {"E": 2.4, "A": 0.4, "alpha": 0.3, "B": 0.15, "beta": 0.3, "eta": 1.2, "C": 0.3, "gamma": 0.35, "eps": 0.1}


SETTINGS = {"method": "mle", "draws": 50, "tune": 50, "chains": 2, "seed": 1}
HEALTHY = Checks(
    (CheckResult("convergence", True, "largest R-hat 1.002"), CheckResult("fit", True, "residuals | {look} fine"))
)


def made_up() -> Fit:
    """A fit of real runs with made-up draws around fixed coefficients."""
    table = bl.datasets.load("tinycpt")
    runs = bl.read_runs(table[(table["set"] == "grid") & table["step"].isin([0, 750, 1500])])
    model = bl.Model(models.dcpt, runs, reference={"N": 2e5, "D": 1e6})
    rng = np.random.default_rng(0)
    coords: dict[str, Any] = SAMPLE | {"eval": ["general", "domain"]}
    draws = {k: (tuple(coords), v * np.exp(0.05 * rng.standard_normal((2, 50, 2)))) for k, v in MIDDLES.items()}
    posterior = xr.Dataset(draws, coords)
    posterior["sigma"] = 0.004 * posterior["E"]
    return Fit(model, xr.DataTree.from_dict({"posterior": posterior}), SETTINGS, 1.0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A file that loads as the made-up fit."""
    fit, path = made_up(), tmp_path / "fit.nc"
    path.touch()
    monkeypatch.setattr(content, "run_checks", lambda _: HEALTHY)
    monkeypatch.setattr(workflow, "load", lambda _: fit)
    return fit, path


def complains(result, *words):
    """Exit code 2, nothing on standard output and one line on standard error that says `words`."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("bayeslaw: ") and result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
    return True


# ------------------------------------------------------------------------------------------------- catalogues
def test_laws(run):
    listed = run("laws")
    names = {line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")}
    assert listed.exit_code == 0 and names == set(models.catalogue)
    card = run("laws", "dcpt").stdout
    assert "L = E + A (N/N0)^-alpha + B r^eta (D/D0)^-beta" in card and "arXiv:2406.01375" in card
    assert all(re.search(rf"^{name} ", card, re.M) for name in models.dcpt.coefficients)
    assert complains(run("laws", "dcp"), "did you mean 'dcpt'")


def test_data(run, tmp_path):
    assert all(name in run("data").stdout for name in ("tinycpt", "dcpt-table5", "regmix"))
    assert run("data", "tinycpt").stdout == f"{bl.datasets.card('tinycpt')}\n"
    assert run("data", "tinycpt", "-o", "new/runs.csv").exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "runs.csv"), bl.datasets.load("tinycpt"))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["runs.csv"]


COMMANDS = [
    "",
    "laws",
    "suggest",
    "data",
    "fit",
    "evaluate",
    "compare",
    "predict",
    "decide",
    "decide critical-ratio",
    "check",
    "report",
    "demo",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(run, command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert command in ("", "decide") or f"Example: bayeslaw {command}" in result.stdout


def test_the_list_of_commands_says_whole_sentences(run):
    listed = " ".join(run("--help").stdout.split())
    for command in app.registered_commands:
        assert command.callback is not None
        sentence = " ".join((command.callback.__doc__ or "").partition("\n")[0].split())
        assert sentence in listed, command.callback.__name__


def test_version(run):
    assert run("--version").stdout == f"bayeslaw {bl.__version__}\n"


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "bayeslaw.cli", "laws", "nope"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("bayeslaw: there is no law 'nope'")


# ------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "Missing command"),
        ("nope", "nope"),
        ("laws --nope", "--nope"),
        ("data tinycp -o out", "did you mean 'tinycpt'"),
        ("data -o out", "-o needs the name of the data set"),
        ("fit dcpt", "RUNS.csv"),
        ("fit dcpt missing.csv -o out", "no file 'missing.csv'"),
        ("fit nope runs.csv -o out", "no law 'nope'"),
        ("fit dcpt runs.csv -o out", "needs a column 'D'"),
        ("fit dcpt runs.csv -o out --map D", "--map N=params"),
        ("fit dcpt runs.csv -o out --map D=token", "did you mean 'tokens'"),
        ("fit dcpt runs.csv -o out --map D=tokens --map D=tokens", "twice"),
        ("fit dcpt runs.csv -o out --map D=tokens --prior alpha=0.3", "median:spread"),
        ("fit dcpt runs.csv -o out --map D=tokens --prior alpa=0.3:0.3", "did you mean 'alpha'"),
        ("fit dcpt runs.csv -o out --map D=tokens --by E=domian", "no column to pool over 'domian'"),
        ("fit dcpt runs.csv -o out --map D=tokens --reference N=big", "'big' is not a number"),
        ("fit dcpt runs.csv -o out --map D=tokens --draws some", "--draws"),
        ("predict missing.nc runs.csv -o out", "no file 'missing.nc'"),
        ("check missing.nc", "no file 'missing.nc'"),
        ("report missing.nc -o out.md", "no file 'missing.nc'"),
        ("decide critical-ratio missing.nc --N 1e9 --D 1e10", "no file 'missing.nc'"),
        ("decide nope missing.nc", "nope"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(run, tmp_path, words, says):
    pd.DataFrame(
        {"N": 1e8, "tokens": [1e9, 2e9, 3e9], "domain_share": [0.2, 0.5, 0.8], "general_loss": 3.0, "domain_loss": 2.0}
    ).to_csv(tmp_path / "runs.csv", index=False)
    assert complains(run(*words.split()), says)
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


def test_a_failing_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "x.csv") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(bl.BayeslawError, match="is a folder"), replacing(tmp_path):
        pass


# ------------------------------------------------------------------------------------------------- with a fit
def test_fit_asks_the_library_for_what_was_written(run, tmp_path, monkeypatch):
    asked: dict[str, Any] = {}

    def fit(model, **settings):
        asked.update(model=model, settings=settings)
        return made_up()

    monkeypatch.setattr(inference, "fit", fit)
    monkeypatch.setattr(Fit, "checks", lambda _: HEALTHY)
    run("data", "tinycpt", "-o", "all.csv")
    table = pd.read_csv("all.csv").query("set == 'grid'").rename(columns={"N": "params", "general_loss": "g"})
    table.to_csv("runs.csv", index=False)
    words = "--map N=params --loss general=g --loss domain=domain_loss --by E=N"
    words += " --prior alpha=0.35:0.3 --reference N=2e5"
    result = run("fit", "dcpt", "runs.csv", "-o", "fit.nc", *words.split(), "--seed=3", "--draws=20", "--robust")
    assert result.exit_code == 0, result.output
    assert "pass  convergence: largest R-hat 1.002" in result.stdout
    assert bl.load(tmp_path / "fit.nc").seconds == 1.0
    model = asked["model"]
    assert (model.by, model.reference["N"], model.noise.robust, model.outside) == ({"E": "N"}, 2e5, True, None)
    assert model.priors["alpha"].parameters == bl.positive(0.35, spread=0.3).parameters
    assert {k: asked["settings"][k] for k in ("draws", "chains", "seed")} == {"draws": 20, "chains": 4, "seed": 3}


def test_predict_answers_row_by_row_and_by_validation_set(run, stored, tmp_path):
    fit, path = stored
    grid = pd.DataFrame({"N": [2e5, 2e5, 1e6], "note": ["a", "b", "c"], "D": 1e6, "domain_share": [0.2, 0.5, 0.2]})
    grid.to_csv("grid.csv", index=False)
    answered = run("predict", path, "grid.csv", "-o", "out.csv", "--prob", "0.5")
    assert answered.exit_code == 0 and "caution: N 1 M lies 1.1 times beyond the largest run, 923 k" in answered.stderr
    out = pd.read_csv("out.csv")
    assert list(out.columns) == [*grid.columns, "eval", "mean", "sd", "lower", "upper"]
    assert out["note"].tolist() == list("aabbcc") and out["eval"].tolist() == ["general", "domain"] * 3
    draws = fit.predict(N=2e5, D=1e6, domain_share=0.5).draws.sel(eval="domain")
    row = out.iloc[3]
    assert row["mean"] == pytest.approx(draws.mean().item())
    assert row["upper"] == pytest.approx(draws.quantile(0.75).item())
    assert run("predict", path, "grid.csv", "-o", "new.csv", "--new-run").exit_code == 0
    assert (pd.read_csv("new.csv")["sd"] > out["sd"]).all()


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\uff1d1+1", "-2", "+1.5e3", "-", "plain", "a=b"]
SAFE = [
    "'=1+1",
    "'+cmd|' /C calc'!A0",
    "'-2+3",
    "'@SUM(A1)",
    "'\tx",
    "'\uff1d1+1",
    "-2",
    "+1.5e3",
    "'-",
    "plain",
    "a=b",
]


def test_no_table_that_is_written_holds_a_formula(run, stored, tmp_path):
    size = np.linspace(2e5, 3e5, len(FORMULAS))
    grid = pd.DataFrame({"N": size, "note": FORMULAS, "D": 1e6, "domain_share": 0.2, "=head": -1.5})
    grid.to_csv("grid.csv", index=False)
    assert run("predict", stored[1], "grid.csv", "-o", "out.csv").exit_code == 0
    out = pd.read_csv("out.csv", dtype=str, keep_default_na=False)
    assert list(out.columns[:5]) == ["N", "note", "D", "domain_share", "'=head"]
    assert out["note"].tolist()[::2] == SAFE and set(out["'=head"]) == {"-1.5"}
    exact = stored[0].predict(grid)
    for column in ("N", "mean", "sd", "lower", "upper"):
        np.testing.assert_array_equal(out[column].astype(float), exact[column])


def test_numbers_of_every_type_are_written_as_they_are(tmp_path):
    kinds = {"f4": np.array([0.1, np.nan, -3], "f4"), "i1": np.array([-1, 2, 3], "i1"), "t": [True, False, True]}
    table = pd.DataFrame(kinds | {"day": pd.to_datetime(["2026-01-01"] * 3), "gap": ["-1", None, "x"]})
    printing.write_csv(table, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == table.to_csv(index=False)


def test_scores_hold_no_formula_either(run, fitted, monkeypatch):
    frame = pd.DataFrame({"fold": ["domain =1+1", "=1+1"], "mae": [0.1, -0.2]})
    monkeypatch.setattr(bl.Evaluation, "to_frame", lambda _: frame)
    assert run("evaluate", "fit.nc", "--by", "N", "-o", "scores.csv").exit_code == 0
    assert Path("scores.csv").read_text().splitlines() == ["fold,mae", "domain =1+1,0.1", "'=1+1,-0.2"]


@pytest.mark.parametrize("words", ["fit chinchilla runs.csv -o out", "evaluate chinchilla runs.csv --by N -o out"])
def test_an_error_of_the_system_while_sampling_is_none_of_writing(run, fitted, monkeypatch, words):
    def fails(*_: Any, **__: Any) -> Fit:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inference, "fit", fails)
    monkeypatch.setattr(bl, "evaluate", fails)
    found = run(*words.split(), "--map=N=params")
    assert isinstance(found.exception, OSError) and "cannot write" not in found.stderr
    assert not Path("out").exists() and not list(Path().glob(".bayeslaw-*"))


@pytest.mark.parametrize(
    ("grid", "words", "says"),
    [
        ("N,D\n1e6,1e6\n", "", "domain_share"),
        ("N,D,domain_share\n", "", "no rows"),
        ("N,D,domain_share\n1e6,1e6,\n", "", "domain_share is missing in row 0"),
        ("N,D,domain_share\n1e6,many,0.5\n", "", "D is 'many' in row 0 (counted from 0), which is not a number"),
        ("N,D,domain_share\n1e6,1e6,0.5\n", "--prob 89", "--prob is 89"),
    ],
)
def test_predict_refuses_a_grid_it_cannot_answer(run, stored, tmp_path, grid, words, says):
    (tmp_path / "grid.csv").write_text(grid)
    assert complains(run("predict", stored[1], "grid.csv", "-o", "out.csv", *words.split()), says)
    assert not (tmp_path / "out.csv").exists()


@pytest.fixture
def stopped(monkeypatch):
    """The models that `fit` would sample from; it stops there."""
    models_asked = []

    def stop(model, **settings):
        models_asked.append(model)
        raise bl.BayeslawError("enough")

    monkeypatch.setattr(workflow.Model, "fit", stop)
    return models_asked


def test_units_of_losses_are_options(run, stopped):
    table = pd.DataFrame(
        {"N": [1e8, 1e9, 1e9], "D": [1e9, 1e9, 2e9], "ppl_a": [20.0, 15, 14], "b_bpb": [0.9, 0.8, 0.75]}
    )
    table.to_csv("runs.csv", index=False)
    words = ["fit", "chinchilla", "runs.csv", "-o", "f.nc", "--loss", "a=ppl_a", "--loss", "b=b_bpb"]
    assert complains(run(*words), "the column 'ppl_a' looks like perplexity: give unit=")
    units = ["--unit", "a=perplexity", "--unit", "b=bits per byte", "--bytes-per-token"]
    assert complains(run(*words, *units, "b=4.2"), "enough") and complains(run(*words, *units, "4.2"), "enough")
    for model in stopped:
        assert "note             ppl_a converted to nats per token" in repr(model) and "no run column: 2 runs" in repr(
            model
        )
        np.testing.assert_allclose(model.runs.table["a_loss"], np.log(table["ppl_a"]))
        np.testing.assert_allclose(model.runs.table["b_loss"], table["b_bpb"] * 4.2 * np.log(2))
    assert complains(run(*words, *units, "b=four"), "--bytes-per-token: 'four' is not a number")
    assert complains(run(*words, "--unit", "a=ppl", "--unit", "b=nats"), "no unit of a loss 'ppl'")
    assert complains(run(*words, "--unit", "bits", "--unit", "nats"), "cannot read --unit 'bits'")
    assert len(stopped) == 2


def test_exported_charts_are_stopped_as_they_are(run, stopped):
    chart = pd.DataFrame({"Step": [100, 200, 300]})
    for name, rates in (("r1", [1e-3, 1e-3, 5e-4]), ("00731245", [1e-3, 5e-4, 1e-4])):
        for metric, values in (("ppl", [20.0, 18, 17]), ("lr", rates)):
            for ending in ("", "__MIN", "__MAX"):
                chart[f"{name} - {metric}{ending}"] = values
    chart.to_csv("chart.csv", index=False)
    words = ["fit", "lr_annealing", "chart.csv", "-o", "f.nc", "--loss", "val=ppl", "--warmup", "0"]
    assert complains(run(*words, "--unit", "perplexity"), "enough")
    assert list(stopped[0].runs.table["run"].unique()) == ["r1", "00731245"]
    np.testing.assert_allclose(stopped[0].runs.table["val_loss"], np.log([20, 18, 17] * 2))


def test_decide(run, stored):
    fit, path = stored
    words = ["--N=1e6", "--D=1e6", "--baseline=2.86", "--max-rise=0.03", "--safe=0.3"]
    printed = run("decide", "critical-ratio", path, *words)
    assert printed.exit_code == 0 and f"{CI_PROB * 100:g} % interval" in printed.stdout
    assert "caution: N 1 M lies 1.1 times beyond the largest run, 923 k" in printed.stderr
    answer = json.loads(run("decide", "critical-ratio", path, *words, "--json", "--prob", "0.5").stdout)
    expected = fit.critical_ratio(N=1e6, D=1e6, baseline=2.86, max_rise=0.03)
    assert answer["p_safe_at_0.3"] == float(expected.probability_safe(0.3))
    assert answer == json.loads(json.dumps(expected.as_json(0.5))) | {"p_safe_at_0.3": answer["p_safe_at_0.3"]}
    assert answer["cautions"] == list(expected.cautions) != []


def test_decide_with_scarce_tokens_or_compute(run, stored):
    fit, path = stored
    ratio = json.loads(run("decide", "best-ratio", path, "--N=2e5", "--domain-tokens=1e6", "--json").stdout)
    assert ratio["median"] == float(fit.best_ratio(N=2e5, domain_tokens=1e6).median()) and ratio["domain_tokens"] == 1e6
    words = ["--flops=1e12", "--domain-share=0.5"]
    best = json.loads(run("decide", "allocation", path, *words, "--json").stdout)
    assert (best["quantity"], best["domain_share"]) == (["N", "D"], 0.5)
    assert best["median"] == fit.allocation(flops=1e12, domain_share=0.5).median().values.tolist()
    printed = run("decide", "allocation", path, *words, "--prob=0.5").stdout
    assert all(text in printed for text in fit.allocation(flops=1e12, domain_share=0.5).text(0.5).values)
    assert "50 % interval" in printed and "quantity" in printed
    dear = json.loads(run("decide", "allocation", path, *words, "--flops-per-token=8", "--json").stdout)
    assert (
        dear["flops_per_token"] == 8
        and dear["median"] == fit.allocation(flops=1e12, domain_share=0.5, flops_per_token=8.0).median().values.tolist()
    )
    assert complains(run("decide", "allocation", path, *words, "--flops-per-token=lr_peak"), "flops_per_token")


def test_every_decision_is_a_command_and_a_method():
    for name, decision in DECISIONS.items():
        assert inspect.unwrap(getattr(Fit, name)) is decision.ask
        shown = CliRunner().invoke(app, ["decide", name.replace("_", "-"), "--help"])
        assert shown.exit_code == 0 and "Example: bayeslaw decide" in shown.stdout


def commands(group: Any, names: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below a group, by the words that call it."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{names} {name}")
        else:
            yield f"{names} {name}", command


def test_every_option_of_every_command_says_what_it_does_in_a_whole_sentence():
    every = dict(commands(typer.main.get_command(app)))
    assert len(every) > 2 * len(DECISIONS)
    silent = {
        (words, option.name): option.help
        for words, command in every.items()
        for option in command.params
        if option.name not in ("help", "name", "law") and not re.search(r"(?<!eq)\.$|\]$", option.help or "")
    }
    assert not silent


def test_check_exits_with_its_answer(run, monkeypatch, stored):
    _, path = stored
    monkeypatch.setattr(Fit, "checks", lambda _: HEALTHY)
    assert run("check", path).exit_code == 0
    monkeypatch.setattr(Fit, "checks", lambda _: Checks((replace(HEALTHY.results[1], passed=False),)))
    failed = run("check", path)
    assert failed.exit_code == 1 and "FAIL  fit: residuals" in failed.stdout and failed.stderr == ""


def test_report(run, stored, tmp_path):
    _, path = stored
    result = run("report", path, "-o", "docs/law.md")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "docs" / "law.md").read_text(encoding="utf-8")
    figures = {p.name for p in (tmp_path / "docs" / "law_files").iterdir()}
    assert figures == {f"{n}.png" for n in ("shares", "critical-ratio", "predictions", "learned", "coefficients")}
    assert all(f"(law_files/{name})" in text for name in figures)
    for part in (
        "# How much python",
        "D-CPT law",
        "No check failed",
        "rise of at most 1 %",
        bl.__version__,
        "| prior |",
    ):
        assert part in text
    assert r"Residuals \| \{look\} fine" in text  # data are text, never a command
    assert sorted(p.name for p in (tmp_path / "docs").iterdir()) == ["law.md", "law_files"]
    assert complains(run("report", path, "-o", "law.txt"), ".md")
    assert run("report", path, "-o", "nats.md", "--max-increase=0.05", "--baseline=3").exit_code == 0
    assert "rise of at most 0.05 nats" in (tmp_path / "nats.md").read_text(encoding="utf-8")


def test_demo(run, tmp_path, monkeypatch):
    asked: dict[str, Any] = {}
    monkeypatch.setattr(inference, "fit", lambda model, **settings: asked.update(model=model) or made_up())
    monkeypatch.setattr(Fit, "checks", lambda _: HEALTHY)
    result = run("demo", "--draws=20")
    assert result.exit_code == 0, result.output
    assert {p.name for p in (tmp_path / "bayeslaw-demo").iterdir()} == {"fit.nc", "report.md", "report_files"}
    lines = result.stdout.splitlines()
    numbered = [line for line in lines if line.lstrip()[:1].isdigit() and "checks passed" not in line]
    sizes = [" ".join(line.split()[:2]) for line in numbered]
    assert sizes == ["12.4 k", "49.3 k", "222 k", "923 k"] * 2
    assert "0.3 safe" in result.stdout and "pass  convergence" in result.stdout
    assert "report.md" in result.stdout
    assert set(asked["model"].by) == {"B", "C"} and len(asked["model"].runs) == 460


def test_a_report_without_a_baseline_says_why(stored, tmp_path):
    fit, _ = stored
    runs = replace(fit.model.runs, baseline=fit.model.runs.baseline.iloc[:0])
    fit = Fit(replace(fit.model, runs=runs), fit.idata, fit.settings, 1.0)
    text = report(fit, tmp_path / "law.md").read_text(encoding="utf-8")
    assert "No critical ratio: the runs have no row at D = 0" in text and "critical-ratio.png" not in text


def test_plots_return_labelled_axes():
    from matplotlib.figure import Figure

    from bayeslaw.plots import plot_critical_ratio, plot_prior_posterior, plot_quantity, plot_shares

    fit = made_up()
    axes = Figure().subplots(2, 3).ravel()
    band = fit.predict(N=2e5, D=np.geomspace(1e5, 1e7, 5), domain_share=0.5)
    assert plot_quantity(band, axes[0]) is axes[0] and axes[0].get_xscale() == "log"
    assert axes[0].get_legend_handles_labels()[1] == ["general", "domain"]
    plot_quantity(fit.predict(N=2e5, D=1e6, domain_share=0.5), axes[1])
    plot_shares(fit, 221664.0, 1.536e6, axes[2])
    plot_critical_ratio(fit.critical_ratio(N=1e6, D=1e6, baseline=2.9), axes[3])
    plot_prior_posterior(fit, axes[4])
    labels = [ax.get_xlabel() for ax in axes[:5]]
    assert labels[:3] == ["D (tokens)", "loss (nats per token)", "domain share (of the tokens)"] and all(labels)
    low, middle = axes[2].lines[0].get_ydata()[[0, 20]]
    assert np.isfinite(middle) and axes[2].collections[1].get_offsets().shape[0] == 9
    assert np.isfinite(low) and np.isnan(axes[2].lines[0].get_ydata()[-1])  # the general share ends at 0.1


# ------------------------------------------------------------------------------------------------- evaluate, compare
@pytest.fixture
def study(tmp_path):
    """A small simulated study of the Chinchilla law, as a table of other names."""
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 4e9], [1e9, 1e10, 4e10]], names=["params", "D"]).to_frame(index=False)
    noise = np.exp(0.004 * np.random.default_rng(0).standard_normal(len(rows)))
    truth = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
    rows["loss"] = models.chinchilla(rows["params"] / 1e9, rows["D"] / 1e10, **truth) * noise
    rows.to_csv(tmp_path / "runs.csv", index=False)
    return truth


def test_evaluate(run, study, tmp_path, monkeypatch):
    fitted, asked = inference.fit, []

    def fit(model, **settings):
        asked.append((model, settings))
        return fitted(model, method="mle", seed=settings["seed"])

    monkeypatch.setattr(inference, "fit", fit)
    words = "--map N=params --splits largest:N --prior alpha=0.35:0.3 --robust --draws=20 --seed=3 --folder folds"
    result = run("evaluate", "chinchilla", "runs.csv", "-o", "new/scores.csv", *words.split())
    assert result.exit_code == 0, result.output
    ((model, settings),) = asked
    assert model.runs.table["N"].max() == 1e9 and model.noise.robust and "alpha" in model.priors
    assert {k: settings[k] for k in ("draws", "chains", "seed")} == {"draws": 20, "chains": 4, "seed": 3}
    scores = pd.read_csv(tmp_path / "new" / "scores.csv")
    assert scores["fold"].tolist() == ["N 4e+09"] and scores["n"].tolist() == [3] and scores["mae"].item() < 0.1
    assert "1 refit, largest(N), whole runs" in result.stdout and "interval_score" in result.stdout
    again = run("evaluate", "chinchilla", "runs.csv", *words.split())
    assert (len(asked), again.stdout) == (1, result.stdout), "the finished fold was kept"


@pytest.fixture
def fitted(run, study, monkeypatch):
    """The fit of that study, by least squares, as a file; what refits are asked, and without what they fail."""
    by_least_squares = inference.fit
    asked: list[Any] = []
    broken: set[float] = set()

    def fit(model, **settings):
        asked.append((model, settings))
        if missing := broken - set(model.runs.table["N"]):
            raise ValueError(f"no fit without {missing.pop():g}")
        found = by_least_squares(model, method="mle", seed=settings["seed"])
        return dataclasses.replace(found, settings={k: settings[k] for k in ("draws", "chains", "seed")})

    monkeypatch.setattr(inference, "fit", fit)
    monkeypatch.setattr(Fit, "checks", lambda _: Checks(()))
    words = "--map N=params --prior alpha=0.35:0.3 --robust --draws=30 --seed=3"
    assert run("fit", "chinchilla", "runs.csv", "-o", "fit.nc", *words.split()).exit_code == 0
    asked.clear()
    return asked, broken


def test_evaluate_a_fit(run, fitted, tmp_path):
    asked, broken = fitted
    result = run("evaluate", "fit.nc", "--by", "N", "--folder", "folds", "-o", "scores.csv")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "scores.csv")["fold"].tolist() == ["N 200000000", "N 1e+09", "N 4e+09"]
    for model, settings in asked:
        assert model.noise.robust and "alpha" in model.priors
        assert {k: settings[k] for k in ("draws", "chains", "seed")} == {"draws": 30, "chains": 4, "seed": 3}
    assert run("evaluate", "fit.nc", "--splits", "by:N", "--folder", "folds").exit_code == 0
    assert len(asked) == 3, "the same folds"
    assert run("evaluate", "fit.nc", "--by=N", "--by=run", "--chains=1").exit_code == 0
    assert len(asked) == 6 and asked[-1][1]["chains"] == 1 and asked[-1][1]["draws"] == 30
    broken.add(1e9)
    failing = run("evaluate", "fit.nc", "--by", "N")
    assert failing.exit_code == 1 and "FAIL  N 1e+09: ValueError: no fit without 1e+09" in failing.stdout
    assert "2 refits, by(N)" in failing.stdout and failing.stderr == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fit.nc", "what to hold out: give --by N, or other splits such as --splits largest:N"),
        ("fit.nc --by N --splits by:N", "evaluate needs one choice of what to hold out"),
        ("fit.nc --by M", "no column to split by 'M'"),
        ("fit.nc runs.csv --by N", "fit.nc has its own runs and model: leave RUNS.csv out"),
        ("fit.nc --by N --by E=N --robust", "leave --by and --robust out"),
        ("other.nc --by N", "no file 'other.nc'"),
        (
            "chinchilla --by N",
            "chinchilla needs measurements: name their file, as in bayeslaw evaluate chinchilla runs.csv",
        ),
        ("fit.nc --by N --dask nonsense -o s.csv", "no scheduler answers at 'nonsense'"),
    ],
)
def test_mistakes_of_evaluating_a_fit_leave_nothing(run, fitted, tmp_path, words, says):
    assert complains(run("evaluate", *words.split()), says)
    assert {p.name for p in tmp_path.iterdir()} == {"runs.csv", "fit.nc"} and not fitted[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("evaluate chinchilla runs.csv --map N=params", "--splits"),
        ("evaluate chinchilla runs.csv --map N=params --splits size", "no splits 'size'"),
        ("evaluate chinchilla runs.csv --map N=params --splits runs:many -o s.csv", "cannot read the splits"),
        ("evaluate chinchilla runs.csv --map N=params --splits by:M -o s.csv", "no column to split by 'M'"),
        ("evaluate chinchilla runs.csv --map N=params --splits by:N --jobs 0 -o s.csv", "jobs is 0"),
        ("evaluate chinchilla missing.csv --splits by:N", "no file 'missing.csv'"),
        ("compare missing.nc other.nc", "no file 'missing.nc'"),
        ("compare missing.nc missing.nc", "named twice"),
        ("compare", "FIT.nc"),
    ],
)
def test_mistakes_of_evaluate_and_compare_leave_nothing(run, study, tmp_path, words, says):
    assert complains(run(*words.split()), says)
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


def test_compare(run, study, tmp_path):
    model = bl.Model(models.chinchilla, bl.read_runs(tmp_path / "runs.csv", N="params"), noise=bl.Noise(False, False))
    rng, coords = np.random.default_rng(0), {"chain": [0, 1], "draw": np.arange(50), "eval": ["validation"]}
    for name, floor, spread in (("right", 1.8, 0.001), ("wrong", 1.75, 0.001), ("loose", 1.8, 0.02)):
        middles = study | {"E": floor, "sigma": 0.01}
        draws = {k: (tuple(coords), v * np.exp(spread * rng.standard_normal((2, 50, 1)))) for k, v in middles.items()}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws, coords)})
        bl.Fit(model, tree, {"method": "nuts", "seed": 1}, 1.0).save(tmp_path / f"{name}.nc")
    result = run("compare", "wrong.nc", "right.nc")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["rank", "elpd", "se"] and [words[0] for words in lines[2:]] == ["right", "wrong"]
    doubtful = run("compare", "right.nc", "loose.nc").stdout.splitlines()[-1]
    assert doubtful.startswith("note: the score of 'loose' cannot be trusted") and "refit" in doubtful
    assert complains(run("compare", "right.nc"), "at least two models")


# ------------------------------------------------------------------------------------------------------------- curves
@pytest.fixture
def curves(tmp_path, monkeypatch):
    """Logs of two schedules by the annealing law, without noise, and a command line that fits by least squares."""
    fitted = inference.fit
    monkeypatch.setattr(inference, "fit", lambda model, **settings: fitted(model, method="mle"))
    monkeypatch.setattr(Fit, "checks", lambda _: Checks(()))
    step = np.arange(300, 2001, 100)
    plans = {"fall": bl.schedules.linear(2000, 3e-4, warmup=200), "flat": bl.schedules.constant(2000, 3e-4, warmup=200)}
    truth, parts = {"L0": 2.7, "A": 0.5, "alpha": 0.5, "C": 0.1}, []
    for name, plan in plans.items():
        areas = plan.areas().sel(step=step)
        loss = models.lr_annealing(areas["S1"], 0.001 * areas["S2"] / 2e-4, **truth)
        parts.append(pd.DataFrame({"run": name, "step": step, "lr": plan.lr[step - 1], "loss": loss}))
    table = pd.concat(parts)
    table.to_csv(tmp_path / "curves.csv", index=False)
    return table


def test_curves_are_fitted_and_predicted_row_by_row(run, curves):
    fitted = run("fit", "lr_annealing", "curves.csv", "-o", "fit.nc", "--warmup", "200")
    assert fitted.exit_code == 0, fitted.output
    rows = curves.drop(columns="loss").assign(note="kept").iloc[::2]
    rows.to_csv("plan.csv", index=False)
    done = run("predict", "fit.nc", "plan.csv", "-o", "out.csv")
    assert done.exit_code == 0, done.output
    out = pd.read_csv("out.csv")
    assert (
        list(out) == [*rows.columns, "mean", "sd", "lower", "upper"] and out["step"].tolist() == rows["step"].tolist()
    )
    np.testing.assert_allclose(out["mean"], curves["loss"].iloc[::2], rtol=0.01)  # lines between logged rates
    rows.assign(lr=2 * rows["lr"]).to_csv("hot.csv", index=False)
    hot = run("predict", "fit.nc", "hot.csv", "-o", "out.csv").output
    assert run("fit", "lr_annealing", "curves.csv", "-o", "short.nc", "--warmup=200", "--memory=0.99").exit_code == 0
    assert [bl.load(f).model.runs.area_settings["memory"] for f in ("fit.nc", "short.nc")] == [0.999, 0.99]
    assert "caution: the peak learning rate 0.0006 lies 2 times beyond the largest run, 0.0003" in " ".join(hot.split())


def test_continual_pre_training_needs_what_was_before(run, curves, monkeypatch):
    asked: dict[str, Any] = {}
    monkeypatch.setattr(inference, "fit", lambda model, **settings: asked.update(model=model) or made_up())
    pd.DataFrame({"step": [1, 4000], "lr": 3e-4}).to_csv("before.csv", index=False)
    words = ["curves.csv", "-o", "fit.nc", "--warmup=200"]
    assert complains(run("fit", "cpt_dynamics", *words), "needs a column 'S1cpt'")
    for law, before, area in (("cpt_dynamics", "before.csv", 1.2), ("cpt_dynamics_open", "unknown", 0.0)):
        assert run("fit", law, *words, f"--before={before}").exit_code == 0
        assert asked["model"].runs.table["S1pt"].to_numpy() == pytest.approx(area)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fit lr_annealing curves.csv -o out", "starts at step 300: give the steps of the warm-up"),
        ("fit lr_annealing curves.csv -o out --warmup=200 --map lr=rate", "rate"),
        ("fit chinchilla curves.csv -o out --warmup=200", "chinchilla has no schedule: leave --warmup out"),
        ("fit chinchilla curves.csv -o out --memory=0.99", "chinchilla has no schedule: leave --memory out"),
        ("fit lr_annealing curves.csv -o out --warmup=200 --memory=1", "memory is 1: give lambda in [0, 1)"),
        ("fit cpt_dynamics curves.csv -o out --warmup=200 --before=missing.csv", "no file 'missing.csv'"),
    ],
)
def test_curves_that_cannot_be_read_leave_nothing(run, curves, tmp_path, words, says):
    assert complains(run(*words.split()), says)
    assert [p.name for p in tmp_path.iterdir()] == ["curves.csv"]


def test_a_critical_ratio_of_a_law_without_size(run, stored, monkeypatch, table_for):
    monkeypatch.setattr(workflow, "load", lambda _: stand_in(models.cmr_general, table_for))
    words = ["--D=1e10", "--rule=break-even", "--baseline=2.9", "--domain=code", "--json"]
    answer = json.loads(run("decide", "critical-ratio", stored[1], *words).stdout)
    assert "N" not in answer and answer["rule"] == "break-even"


def test_fitting_in_a_new_process_says_nothing_else(tmp_path):
    table = pd.DataFrame({"duration": [0.0, 0.05, 0.1, 0.2, 0.3], "code_score": [0.20, 0.24, 0.26, 0.27, 0.26]})
    table.to_csv(tmp_path / "runs.csv", index=False)
    command = "bayeslaw.cli fit domain_upsampling runs.csv -o fit.nc --draws 60 --chains 1"
    done = subprocess.run([sys.executable, "-m", *command.split()], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "fit.nc").is_file()
    assert "Warning" not in done.stderr + done.stdout


def test_a_warning_is_a_note(run, stored, monkeypatch):
    fit, path = stored

    def load(_: object) -> Fit:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the law has changed", stacklevel=2)
        return fit

    monkeypatch.setattr(workflow, "load", load)
    result = run("decide", "allocation", path, "--flops=1e16", "--domain-share=0.5")
    changed, point, beyond, *_ = result.stderr.splitlines()
    assert result.exit_code == 0 and changed == "bayeslaw: note: the law has changed"
    assert point.startswith("bayeslaw: caution: a point fit (method='mle') has no interval")
    assert beyond.startswith("bayeslaw: caution: N 375 M lies 410 times beyond the largest run, 923 k")
