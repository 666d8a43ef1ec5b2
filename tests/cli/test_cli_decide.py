"""The decision verbs of the command line, on made-up posteriors: what they ask the library, print and refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayeslaw import models, workflow
from bayeslaw.cli import QUESTIONS, app
from bayeslaw.cli.deciding import commands
from bayeslaw.tables.schedules import Schedule
from bayeslaw.workflow import Fit
from tests.decisions.test_best_mixture import nested, random_mixing, stand_in, upsampling
from tests.decisions.test_schedule_decisions import BASE, PEAK, annealed, continued
from tests.models.test_cmr import DOMAIN, GENERAL
from tests.models.test_cmr import stand_in as cmr_stand_in
from tests.stand_ins import stand_in as made_up

VERBS = (
    "critical-ratio",
    "best-ratio",
    "allocation",
    "best-mixture",
    "equivalent-compute",
    "best-duration",
    "best-schedule",
    "turning-length",
    "critical-point",
)


@pytest.fixture
def decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Ask a question of a fit on the command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.nc").touch()

    def ask(fit: Fit, verb: str, *words: str) -> Any:
        monkeypatch.setattr(workflow, "load", lambda _: fit)
        return CliRunner().invoke(app, ["decide", verb, "fit.nc", *words])

    return ask


def answer(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert set(found) >= {"median", "lower", "upper", "prob", "name", "unit", "what"}
    return found


def write(name: str, plan: Schedule) -> None:
    pd.DataFrame({"step": np.arange(1, len(plan) + 1), "lr": plan.lr}).to_csv(name, index=False)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb):
    result = CliRunner().invoke(app, ["decide", verb, "--help"])
    assert result.exit_code == 0 and f"Example: bayeslaw decide {verb} fit.nc" in result.stdout


def test_best_mixture(decide):
    fit = stand_in(models.data_mixing, random_mixing())
    found = answer(decide(fit, "best-mixture", "--max", "s0=0.3", "--min=s1=0.1", "--goal", "set1=2", "--json"))
    expected = fit.best_mixture(goal="set1", at_most={"s0": 0.3}, at_least={"s1": 0.1})
    assert found["source"] == ["s0", "s1", "s2", "s3"] and found["goal"] == {"set1": 1.0}
    assert found["median"] == pytest.approx(expected.median().values) and found["at_most"] == {"s0": 0.3}
    assert found["recommended"] == pytest.approx(expected.recommended.to_series().to_dict())
    assert len(found["p_always"]) == 4
    printed = decide(fit, "best-mixture", "--max", "s0=0.3").stdout
    assert "best of a draw" in printed and "recommended  s0 " in printed
    half = decide(fit, "best-mixture", "--prob", "0.5").stdout
    assert all(text in half for text in fit.best_mixture().text(0.5).values) and "50 % interval" in half
    many = decide(stand_in(models.data_mixing, random_mixing(source=17)), "best-mixture").stdout
    assert all(f"\ns{i} " in many for i in range(17)) and "..." not in many.partition("best mixture")[0]


def test_best_mixture_near_another_and_within_the_tokens_at_hand(decide):
    fit = stand_in(models.data_mixing, random_mixing())
    words = ["--near=s0=0.5", "--near=s1=0.5", "--pull=0.2", "--available=s0=2e9", "--repetitions=2", "--D=1e10"]
    found = answer(decide(fit, "best-mixture", *words, "--json"))
    asked: dict[str, Any] = {"available": {"s0": 2e9}, "repetitions": 2, "D": 1e10}
    expected = fit.best_mixture(near={"s0": 0.5, "s1": 0.5}, pull=0.2, **asked)
    assert found["recommended"] == pytest.approx(expected.recommended.to_series().to_dict())
    assert found["recommended"]["s0"] <= 0.4 and found["recommended"]["s2"] == 0
    assert found["near"] == {"s0": 0.5, "s1": 0.5, "s2": 0, "s3": 0} and found["pull"] == 0.2
    assert {k: found[k] for k in asked} == asked


def test_a_turning_point_of_both_losses(decide, tmp_path, monkeypatch):
    general, domain = cmr_stand_in(models.cmr_general, GENERAL), cmr_stand_in(models.cmr_domain, DOMAIN)
    (tmp_path / "domain.nc").touch()
    monkeypatch.setattr(workflow, "load", lambda path: domain if path.stem == "domain" else general)
    words = ["--D=1e10", "--rule=turning-point", "--weight=1000", "--beside=domain.nc", "--json"]
    result = CliRunner().invoke(app, ["decide", "critical-ratio", "fit.nc", *words])
    expected = general.critical_ratio(D=1e10, rule="turning-point", weight=1000, beside=domain)
    found = answer(result)
    assert found["median"] == expected.median().item() and found["weight"] == 1000
    alone = CliRunner().invoke(app, ["decide", "critical-ratio", "fit.nc", *words[:2], words[3]])
    assert alone.exit_code == 2 and "beside, the fit of the domain loss, needs the weight of that loss" in alone.stderr


def test_equivalent_compute(decide):
    fit = nested()
    words = ["--mixture=s0=0.5", "--mixture=s1=0.5", "--than=s2=1", "--D=1e10", "--N=1e9"]
    found = answer(decide(fit, "equivalent-compute", *words, "--json"))
    expected = fit.equivalent_compute(mixture={"s0": 0.5, "s1": 0.5}, than={"s2": 1.0}, D=1e10, N=1e9)
    assert found["median"] == pytest.approx(expected.median().item()) and found["D"] == 1e10


def test_best_duration(decide):
    net = 0.2 * (1 - np.exp(-1 / 0.7)) - 0.02
    draws = {"a": [[-0.4]] * 9, "g": [[net]] * 9, "tau": [[0.7]] * 9, "c": [[0.02]] * 9}
    found = answer(decide(upsampling(draws), "best-duration", "--goal=set0", "--longest=0.5", "--json"))
    assert found["median"] == pytest.approx(0.07 * np.log(0.2 / 0.014), abs=1e-4) and found["longest"] == 0.5


def test_best_schedule(decide):
    fit, flat = annealed(), Schedule(np.full(20_000, PEAK))
    down = Schedule(np.linspace(PEAK, PEAK / 10, 20_000))
    ask = ["--candidate", "flat=flat.csv", "--candidate", "down=down.csv"]
    write("flat.csv", flat)
    write("down.csv", down)
    found = answer(decide(fit, "best-schedule", *ask, "--json"))
    expected = fit.best_schedule({"flat": flat, "down": down})
    assert found["candidate"] == ["flat", "down"] and found["recommended"] == expected.recommended
    assert found["p_best"] == pytest.approx(expected.p_best.values)
    assert found["median"] == pytest.approx(expected.median().values)
    assert f"recommended  {expected.recommended}" in decide(fit, "best-schedule", *ask).stdout


def test_turning_length_and_critical_point(decide):
    fit, plan = continued(0.001), Schedule(np.full(20_000, PEAK))
    write("plan.csv", plan)
    write("base.csv", BASE)
    found = answer(decide(fit, "turning-length", "plan.csv", "--before", "base.csv", "--goal=domain", "--json"))
    assert found["unit"] == "steps" and found["p_never"] == 1
    point = answer(decide(fit, "critical-point", "--json"))
    assert point["median"] == pytest.approx(fit.critical_point().median().item())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("best-mixture --max s0", "write it like --max github=0.3"),
        ("best-mixture --max s0=all", "--max: 'all' is not a number"),
        ("best-mixture --max s0=2", "give a share in [0, 1]"),
        ("best-mixture --max github=0.3", "github"),
        ("best-mixture --goal set9", "set9"),
        ("best-mixture --near s0=1", "give both or neither"),
        ("best-mixture --near s0=0.5 --pull 0.1", "sum to 1, these sum to 0.5"),
        ("best-mixture --available s0=lots", "--available: 'lots' is not a number"),
        ("best-mixture --available s0=1e9", "give one D"),
        ("best-mixture --repetitions 4", "give available too"),
        ("critical-ratio --rule=turning-point --beside=no.nc", "no file 'no.nc'"),
        ("critical-ratio --weight=100", "does not depend on domain_share"),
        ("best-mixture --goal set0=1 --goal set0=2", "names 'set0' twice"),
        ("best-duration", "does not depend on duration"),
        ("best-schedule --candidate a=a.csv", "no file 'a.csv'"),
        (
            "best-schedule --candidate a=words.csv",
            "words.csv: lr is 'high' in row 0 (counted from 0), which is not a number",
        ),
        ("best-schedule --candidate a=late.csv", "late.csv starts at step 100: give the steps of the warm-up"),
        ("best-schedule --candidate a=steps.csv", "no column 'lr'"),
        ("best-schedule --candidate a=back.csv", "back.csv: step 1 comes after step 2"),
        ("best-schedule --candidate a=good.csv", "has no schedule"),
        ("best-schedule", "--candidate"),
        ("turning-length good.csv", "--before"),
        ("turning-length good.csv --before empty.csv", "empty.csv has no rows"),
        ("critical-point", "has no schedule"),
        ("equivalent-compute --mixture s0=1 --than s1=1 --D 1e9", "does not depend on D"),
    ],
)
def test_mistakes_are_one_line(decide, tmp_path, words, says):
    tables = {
        "words": "step,lr\n1,high\n",
        "late": "step,lr\n100,1e-3\n200,1e-3\n",
        "steps": "step,rate\n1,1e-3\n",
        "back": "step,lr\n1,1e-3\n2,1e-3\n1,1e-3\n",
        "good": "step,lr\n1,1e-3\n2,1e-3\n",
        "empty": "step,lr\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    verb, *options = words.split()
    result = decide(stand_in(models.data_mixing, random_mixing()), verb, *options)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("bayeslaw: ") and result.stderr.count("\n") == 1 and says in result.stderr


def test_an_argument_that_takes_several_values_may_be_repeated(decide, table_for):
    """As in Python, where a list gives the result a dim; once is a number."""
    fit = made_up(models.dcpt, table_for, draws=30)
    found = answer(
        decide(fit, "allocation", *["--flops", "1e19", "--flops", "1e20", "--domain-share", "0.5", "--json"])
    )
    assert found["flops"] == [1e19, 1e20] and np.shape(found["median"]) == (2, 2) and found["domain_share"] == 0.5
    assert np.allclose(found["median"], fit.allocation(flops=[1e19, 1e20], domain_share=0.5).median())
    words = "--N 1e8 --N 5e8 --D 1e9 --D 1e10 --baseline 3.2 --safe 0.5"
    found = answer(decide(fit, "critical-ratio", *words.split(), "--json"))
    python = fit.critical_ratio(N=[1e8, 5e8], D=[1e9, 1e10], baseline=3.2)
    assert np.allclose(found["median"], python.median()) and found["N"] == [1e8, 5e8]
    assert np.allclose(found["p_safe_at_0.5"], python.probability_safe(0.5))
    assert decide(fit, "critical-ratio", *words.split()).exit_code == 0
    one = answer(decide(fit, "allocation", *["--flops", "1e19", "--domain-share", "0.5", "--json"]))
    assert one["flops"] == 1e19 and np.shape(one["median"]) == (2,)


def test_a_baseline_of_replicates_is_as_uncertain_after_saving(tmp_path, table_for):
    fit, path = made_up(models.dcpt, table_for, draws=20), tmp_path / "fit.nc"
    again = fit.model.runs.baseline.assign(general_loss=lambda t: t["general_loss"] * 1.02)
    runs = replace(fit.model.runs, baseline=pd.concat([fit.model.runs.baseline, again], ignore_index=True))
    replace(fit, model=replace(fit.model, runs=runs)).save(path)
    at: dict[str, Any] = {"N": 2e9, "D": 1e10}
    words = [f"--{name}={value}" for name, value in at.items()]
    found = answer(CliRunner().invoke(app, ["decide", "critical-ratio", str(path), *words, "--json"]))
    expected = replace(fit, model=replace(fit.model, runs=runs)).critical_ratio(**at)
    assert found["baseline_sd"] == pytest.approx(expected.inputs["baseline_sd"]) and found["baseline_sd"] > 0
    assert found["lower"] == pytest.approx(float(expected.interval()["lower"]))
    printed = CliRunner().invoke(app, ["decide", "critical-ratio", str(path), *words])
    assert f"a baseline of {expected.inputs['baseline']:.4g} nats (sd " in printed.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["decide", "critical-ratio", "fit.nc", "--max-rise=0.01", "--max-rise=0.05"], "--max-rise is given 2 times"),
        (
            ["decide", "critical-ratio", "fit.nc", "--max-increase", "1", "--max-increase=2"],
            "--max-increase is given 2",
        ),
        (["fit", "chinchilla", "runs.csv", "--seed=1", "--seed=1", "--seed=2"], "--seed is given 3 times: keep one"),
        (["fit", "chinchilla", "runs.csv", "--outside", "--inside"], "--outside is given 2 times: keep one"),
    ],
)
def test_an_option_of_one_value_is_not_given_twice(words, says):
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and refused.stderr.startswith(f"bayeslaw: {says}")
    assert len(refused.stderr.splitlines()) == 1


def test_the_list_of_decisions_is_that_of_the_commands():
    assert list(QUESTIONS) == list(commands())


def test_a_label_names_a_group_of_any_column(decide, table_for):
    def labelled(law: Any, **given: Any) -> pd.DataFrame:
        table = table_for(law, **given)
        return table.assign(
            family=np.resize(["opt", "pythia"], len(table)), generation=np.resize([1, 2, 2], len(table))
        )

    fit = made_up(models.chinchilla, labelled, by={"E": "family", "A": "generation"})
    words = ["--flops=1e21", "--label=family=opt", "--label=generation=2", "--json"]
    found = answer(decide(fit, "allocation", *words))
    exact: Any = fit.allocation(flops=1e21, labels={"family": "opt", "generation": 2})
    assert found["median"] == pytest.approx(exact.median().values.tolist())
    unknown = decide(fit, "allocation", "--flops=1e21", "--family=opt")
    assert unknown.exit_code == 2 and "give --label family=LABEL" in unknown.stderr
    refused = decide(fit, "allocation", "--flops=1e21", "--label=family=opt")
    assert refused.exit_code == 2 and "generation is missing: give one of 1, 2" in refused.stderr
    assert "write it like --label family=opt" in decide(fit, "allocation", "--flops=1e21", "--label=opt").stderr
