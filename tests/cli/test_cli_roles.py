"""Several validation sets on the command line: roles, baselines by set, one share for all of them."""

import json

import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw.cli import app
from tests.spec.test_roles import QUESTION, ROLES, table

GIVEN = [f"--role={name}={role}" for name, role in ROLES.items()]
BASELINES = [f"--baseline={name}={value}" for name, value in QUESTION["baseline"].items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("roles")
    table().to_csv(path / "runs.csv", index=False)
    words = ["fit", "dcpt", str(path / "runs.csv"), "-o", str(path / "fit.nc"), *GIVEN]
    done = CliRunner().invoke(app, [*words, "--by=E=eval", "--draws=20", "--chains=2"])
    assert done.exit_code == 0, done.output
    return path


def decide(path, verb, *words):
    return CliRunner().invoke(app, ["decide", verb, str(path / "fit.nc"), "--N=1e9", *words])


def test_roles_are_those_of_python(folder):
    model = bl.load(folder / "fit.nc").model
    assert model.roles == ROLES and model.by == {"E": "eval"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([*BASELINES, "--together"], QUESTION | {"together": True}),
        (BASELINES, QUESTION),
        (["--baseline=2.6", "--eval=web"], QUESTION | {"baseline": 2.6, "eval": "web"}),
        (["--baseline=web=2.6", "--eval=web"], QUESTION | {"baseline": 2.6, "eval": "web"}),
    ],
    ids=["together", "by set", "one", "one, named"],
)
def test_answers_are_those_of_python(folder, words, asked):
    done = decide(folder, "critical-ratio", "--D=1e10", "--json", *words)
    assert done.exit_code == 0, done.output
    expected = bl.load(folder / "fit.nc").critical_ratio(**asked)
    assert json.loads(done.stdout)["median"] == expected.as_json()["median"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["critical-ratio", "--D=1e10", "--baseline=2.9"], "3 losses are limited (pile, web, wiki)"),
        (["critical-ratio", "--D=1e10", "--baseline=x"], "--baseline: 'x' is not a number"),
        (
            ["best-ratio", "--domain-tokens=5e9", "--eval=general"],
            "the fit has several losses: name one, eval='pile' or 'web' or 'wiki'",
        ),
    ],
    ids=["one baseline of three", "no number", "a role of several"],
)
def test_ambiguous_words_end_in_one_sentence(folder, words, sentence):
    done = decide(folder, *words)
    assert done.exit_code == 2 and sentence in done.stderr and done.stderr.count("\n") == 1


def test_a_set_without_a_role_is_refused_with_the_option(folder):
    done = CliRunner().invoke(app, ["fit", "dcpt", str(folder / "runs.csv"), "-o", str(folder / "no.nc"), *GIVEN[:3]])
    assert done.exit_code == 2 and "--role code=domain" in done.stderr and done.stderr.count("\n") == 1
