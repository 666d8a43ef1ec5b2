"""How often checks fail where the law is true, and where it is not: simulated studies, each fitted anew.

python -m tests.studies.checks [-n 60]
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks import CHECKS
from tests.studies.page import Page

NAMES = ("shape along tokens", "misfit by group", "misfit along scales", "scatter", "shape prior")
GENERAL = {"E": 1.9, "A": 0.4, "alpha": 0.3, "B": 0.08, "beta": 0.3, "eta": 1.05, "C": 0.4, "gamma": 0.4, "eps": 0.1}
DOMAIN = GENERAL | {"E": 0.8, "C": 0.3, "eta": 1.2}
FLOOR = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
FITS: dict[str, Any] = {"draws": 200, "tune": 300, "chains": 2, "cores": 1, "progress": False}


def along_runs(rng: np.random.Generator, runs: np.ndarray, log_tokens: np.ndarray, sigma: float) -> np.ndarray:
    """Errors of checkpoints: half of the variance is a run effect, the rest is correlated over a factor e of tokens."""
    near = np.exp(-abs(log_tokens[:, None] - log_tokens))
    covariance = sigma**2 * np.where(runs[:, None] == runs, 0.5 + 0.5 * near, 0.0)
    errors: np.ndarray = np.linalg.cholesky(covariance + 1e-15 * np.eye(len(runs))) @ rng.standard_normal(len(runs))
    return errors


def continual(seed: int, hump: float = 0.0, sigma: float = 0.006) -> bl.Model:
    """Two sizes, five shares, six checkpoints; the general loss may rise, by `hump` times the share, and fall again."""
    rng = np.random.default_rng(seed)
    levels: list[Any] = [[5e8, 2e9], [0.1, 0.3, 0.5, 0.7, 0.9], 5e8 * 2.0 ** np.arange(6)]
    rows = pd.MultiIndex.from_product(levels, names=["N", "domain_share", "D"]).to_frame(index=False)
    run, log_tokens = rows.groupby(["N", "domain_share"]).ngroup().to_numpy(), np.log(rows["D"].to_numpy())
    path = (log_tokens - log_tokens.min()) / np.ptp(log_tokens)
    for name, own, truth in (("general", 1 - rows["domain_share"], GENERAL), ("domain", rows["domain_share"], DOMAIN)):
        law = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, own, **truth)
        bend = hump * rows["domain_share"] * 4 * path * (1 - path) if name == "general" else 0.0
        rows[f"{name}_loss"] = law * np.exp(bend + along_runs(rng, run, log_tokens, sigma))
    return bl.Model(models.dcpt, bl.read_runs(rows.assign(run=run.astype(str))), misfit=None)


def iso_flop(seed: int, bend: float = 0.0, robust: bool = False, outlier: float = 1.0) -> bl.Model:
    """Six budgets, seven sizes each, a run of one measurement for each; the loss may bend along compute."""
    rng = np.random.default_rng(seed)
    flops, ratio = np.meshgrid(np.geomspace(1e18, 1e21, 6), np.geomspace(0.2, 5, 7))
    size = np.sqrt(flops / 120).ravel() * ratio.ravel()
    rows = pd.DataFrame({"N": size, "D": flops.ravel() / (6 * size)})
    path = np.log(flops.ravel() / 1e18) / np.log(1e3)
    law = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **FLOOR)
    rows["loss"] = law * np.exp(bend * (20 * path**3 - 30 * path**2 + 12 * path - 1) + 0.004 * rng.standard_normal(42))
    rows["loss"] = rows["loss"].where(rows.index != 20, outlier * rows["loss"])
    return bl.Model(models.chinchilla, bl.read_runs(rows), noise=bl.Noise(robust=robust), misfit=None)


STUDIES: dict[str, Callable[[int], bl.Model]] = {
    "continual, law true, errors .3 %": lambda seed: continual(seed, sigma=0.003),
    "continual, law true, errors .6 %": continual,
    "continual, law true, errors 1.2 %": lambda seed: continual(seed, sigma=0.012),
    "continual, general loss up by 1 % x share": lambda seed: continual(seed, hump=0.01),
    "continual, general loss up by 3 % x share": lambda seed: continual(seed, hump=0.03),
    "continual, general loss up by 6 % x share": lambda seed: continual(seed, hump=0.06),
    "single measurements, law true": iso_flop,
    "single measurements, bent by .5 % along compute": lambda seed: iso_flop(seed, bend=0.005),
    "single measurements, one outlier of 10 %, robust errors": lambda seed: iso_flop(seed, robust=True, outlier=1.1),
}


def failures(model: bl.Model) -> dict[str, bool]:
    """Return, of the checks that apply to a fit, whether they fail."""
    fit = model.fit(**FITS)
    found = {name: CHECKS[name](fit) for name in NAMES}
    return {name: not result.passed for name, result in found.items() if result is not None}


def main(n: int) -> None:
    """Write the page."""
    page = Page("checks", "Checks of the fit beside the data: false alarms and misses")
    page.text(
        "Simulated studies, each fitted with 2 x 200 draws, and how many of them fail a check. Where the law is true "
        "every failure is a false alarm. *Continual*: D-CPT, two sizes, five shares, six checkpoints, two losses; the "
        "general loss may rise along every run and fall again, in the middle by the given part times the domain share. "
        "*Single measurements*: Chinchilla's law, six budgets of seven sizes, and no run with a second checkpoint."
    )
    rows = []
    for study, make in STUDIES.items():
        counts = pd.DataFrame([failures(make(seed)) for seed in range(n)])
        rows.append({"study": study, "studies": n, **counts.sum().astype(int)})
        print(rows[-1], flush=True)
    page.table(pd.DataFrame(rows).convert_dtypes(), 0)
    page.write()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=60, help="studies of each kind")
    main(parser.parse_args().n)
