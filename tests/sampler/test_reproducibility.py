"""The same seed gives the same draws, in another process too, and a report says enough to run it again."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.workflow import Fit

ROOT = Path(__file__).parents[2]
TRUTH = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
SETTINGS: dict[str, Any] = {"draws": 60, "tune": 100, "chains": 2, "seed": 7}


def table() -> pd.DataFrame:
    levels: list[Any] = [[2e8, 1e9, 5e9], [1e9, 1e10, 1e11], ["code", "law"]]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "domain"]).to_frame(index=False)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.004, len(rows)))
    return rows.assign(loss=models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH) * noise)


def model() -> bl.Model:
    return bl.Model(
        models.chinchilla,
        bl.read_runs(table()),
        by={"E": "domain"},
        priors={"alpha": bl.positive(0.35, spread=0.3)},
        reference={"N": 2e9},
    )


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return model().fit(**SETTINGS, progress=False)


def test_another_process_draws_the_same(fitted, tmp_path):
    path = tmp_path / "fit.nc"
    program = "import sys\nfrom tests.sampler.test_reproducibility import SETTINGS, model\n"
    program += "model().fit(**SETTINGS, cores=1, progress=False).save(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, path], cwd=ROOT, check=True, timeout=200)
    xr.testing.assert_identical(bl.load(path).posterior, fitted.posterior)


def test_the_order_of_the_table_does_not_matter(fitted):
    shuffled = table().sample(frac=1, random_state=3)
    again = bl.Model(**{**vars_of(model()), "runs": bl.read_runs(shuffled)}).fit(**SETTINGS, progress=False)
    xr.testing.assert_identical(again.posterior, fitted.posterior)


def vars_of(made: bl.Model) -> dict[str, Any]:
    return {k: getattr(made, k) for k in ("law", "by", "priors", "reference")}


def test_a_report_says_enough_to_run_it_again(fitted, tmp_path):
    """Law, settings, reference, priors, pooling and the hash of the data stand on the page."""
    page = fitted.report(tmp_path / "page.md").read_text()
    facts = fitted.provenance()
    for value in facts.values():
        assert " ".join(value.split()) in " ".join(page.replace("\\", "").split())
    assert re.search(r"[0-9a-f]{16}", facts["data"]) and fitted.model.runs.hash in page
    stated = dict(part.rsplit(" ", 1) for part in facts["settings"].split(", "))
    settings: dict[str, Any] = {k: int(stated[k]) for k in ("draws", "tune", "chains", "seed")}
    settings["target_accept"] = float(stated["target_accept"])
    reference = {k: float(v) for k, v in (part.rsplit(" ", 1) for part in facts["reference"].split(", "))}
    law = getattr(models, facts["law"].split()[0])
    by = dict(part.split(" by ") for part in facts["pooling"].split(", "))
    name, prior = facts["own priors"].split(" = ", 1)
    priors = {name: eval(prior, {"Prior": bl.Prior})}
    again = bl.Model(law, bl.read_runs(table()), by=by, priors=priors, reference=reference)
    assert facts["errors"] == again.describe_noise() and facts["shape prior, range"] == "observed, exclude"
    xr.testing.assert_identical(again.fit(**settings, progress=False).posterior, fitted.posterior)
