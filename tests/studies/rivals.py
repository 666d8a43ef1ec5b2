"""Ways to predict new runs from the same rows: a posterior, and what others use instead."""

import subprocess
import tempfile
from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw.base.intervals import SAMPLE, levels
from bayeslaw.errors import DataError
from bayeslaw.posterior.prediction import at_rows, of_new_runs
from bayeslaw.spec.design import Design
from bayeslaw.validation.evaluation import convergence
from bayeslaw.validation.scores import crps
from bayeslaw.workflow import Fit
from tests.benchmarks.small_tables import PEERS, peer_installed
from tests.studies.kept_out import Case, split
from tests.studies.refits import LeastSquares

__all__ = ["INTERVAL", "Predict", "Unfit", "bootstrap", "conformal", "peer", "posterior"]

INTERVAL = 0.89
PATIENCE = 600
"""Seconds after which another program is given up."""
REFITS = 200
SCATTER = 10
"""Residuals drawn for every refit."""

Predict = Callable[[Case], pd.DataFrame]
"""From a case to its predictions of new runs, a row for each measurement that is kept out.

Columns ``middle``, ``lower``, ``upper`` and, where there are draws, ``crps``, all of the log loss.
"""


class Unfit(Exception):
    """The method has nothing to say of a case: the sentence says why."""


def posterior(case: Case) -> pd.DataFrame:
    """Predict by the posterior of the model, in few draws."""
    if case.model.misfit is not None and not case.model.processes:
        raise Unfit("the law has no scale of a misfit")
    fit = case.model.fit(draws=400, chains=2, seed=1, progress=False)
    law, new, _ = of_new_runs(fit, case.held, np.random.default_rng([1, 3]))
    mean, draws = np.log(_by_cell(law, case.held).mean(axis=1)), np.log(_by_cell(new, case.held))
    return _of_draws(mean, draws, case.held).assign(**convergence(fit))


def bootstrap(case: Case) -> pd.DataFrame:
    """Predict by least squares, refitted to runs drawn with replacement, and the residuals of the fit."""
    fit, rng = _least_squares(case.model), np.random.default_rng(1)
    by_hand = LeastSquares(fit)
    laws, residuals = by_hand.predict(by_hand.refits(REFITS, rng), case.held), _residuals(fit)
    scatter = np.array([rng.choice(residuals[k], (REFITS, SCATTER)) for k in case.held.cells["eval"]])
    every = (laws[:, :, None] + scatter).reshape(len(laws), -1)
    return _of_draws(_log_losses(fit, case.held), every, case.held)


def conformal(case: Case) -> pd.DataFrame:
    """Predict by least squares, plus and minus a quantile of its errors where the largest scales are left out."""
    model, held = case.model, case.held
    table, missed = model.runs.sorted_along(model.law.path).table, [np.empty(0)] * len(held.evals)
    for out in case.axis.calibrating(table).values():
        try:
            fitted, beyond = split(model, np.asarray(out))
            error = np.abs(beyond.log_loss - _log_losses(_least_squares(fitted), beyond))
        except DataError:
            continue
        missed = [np.r_[m, error[beyond.cells["eval"] == k]] for k, m in enumerate(missed)]
    if min(map(len, missed)) == 0:
        raise Unfit("no residuals to calibrate on")
    half = np.array([np.sort(m)[min(len(m), int(np.ceil((len(m) + 1) * INTERVAL))) - 1] for m in missed])
    middle, width = _log_losses(_least_squares(model), held), half[held.cells["eval"]]
    return pd.DataFrame({"middle": middle, "lower": middle - width, "upper": middle + width})


def peer(law: str) -> Predict:
    """Predict by a law of the program simple-scaling-laws, where sizes and tokens are all that its rows differ in."""
    quantiles = np.unique(np.r_[np.linspace(0.01, 0.99, 99), levels(INTERVAL)].round(6))

    def predicted(case: Case) -> pd.DataFrame:
        if set(case.model.law.columns) != set(COLUMNS):
            raise Unfit("not a table of sizes and tokens")
        if not peer_installed():
            raise Unfit("the program cannot be installed")
        fitted, asked = (_for_the_peer(design) for design in (case.model.design, case.held))
        with tempfile.TemporaryDirectory() as folder:
            runs, artifact, points, found = (f"{folder}/{name}" for name in ("r.csv", "r.slaw", "p.csv", "f.csv"))
            fitted.to_csv(runs, index=False)
            asked[list(COLUMNS.values())].to_csv(points, index=False)
            _run("fit", runs, "--law", law, "--output", artifact, "--draws", str(REFITS), "--seed", "1", "--quiet")
            written = ",".join(f"{q:g}" for q in quantiles)
            _run("predict", artifact, points, "--kind", "new-run", "--quantiles", written, "--output", found)
            drawn = pd.read_csv(found).sort_values("point_id").filter(like=f"{LOSS}__").to_numpy()
        ends = {name: np.log(drawn[:, np.isclose(quantiles, q)][:, 0]) for name, q in zip(ENDS, _ends(), strict=True)}
        return pd.DataFrame(ends).assign(crps=crps(np.log(drawn), case.held.log_loss))

    return predicted


LOSS = "test_loss__cross_entropy"
COLUMNS = {"N": "model_size__n_params", "D": "dataset_size__n_tokens"}
ENDS = ("lower", "middle", "upper")


def _ends() -> tuple[float, float, float]:
    low, high = levels(INTERVAL)
    return low, 0.5, high


def _for_the_peer(design: Design) -> pd.DataFrame:
    """Return measurements in the columns of the other program, which has no checkpoints: each is a run."""
    row = design.cells["row"]
    columns = {new: design.rows[c].values[row] for c, new in COLUMNS.items()}
    run = [f"run {i}" for i in range(len(row))]
    return pd.DataFrame({"training_run_id": run, "test_set_id": 0, **columns, LOSS: np.exp(design.log_loss)})


def _run(*arguments: str) -> None:
    try:
        command = [str(PEERS / "bin/scaling-laws"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Unfit(f"simple-scaling-laws: not done in {PATIENCE} s") from None
    if done.returncode:
        raise Unfit(f"simple-scaling-laws: {done.stderr.strip().splitlines()[-1]}")


def _least_squares(model: bl.Model) -> Fit:
    return model.fit(method="mle", seed=1, progress=False)


def _by_cell(losses: xr.DataArray, held: Design) -> np.ndarray:
    """Return draws (cell, draw)."""
    drawn = losses.stack(sample=SAMPLE).transpose("row", "eval", "sample").values
    found: np.ndarray = drawn[held.cells["row"], held.cells["eval"]]
    return found


def _log_losses(fit: Fit, design: Design) -> np.ndarray:
    found: np.ndarray = np.log(_by_cell(at_rows(fit, design), design)[:, 0])
    return found


def _residuals(fit: Fit) -> list[np.ndarray]:
    """Return the residuals of every validation set, as large as those of new rows would be."""
    design = fit.model.design
    error, number = design.log_loss - _log_losses(fit, design), design.cells["eval"]
    size = sum(v.size for v in fit.posterior[list(fit.model.law.coefficients)].values()) // len(design.evals)
    parts = [error[number == k] for k in range(len(design.evals))]
    return [part * np.sqrt(len(part) / max(len(part) - size, 1)) for part in parts]


def _of_draws(middle: np.ndarray, draws: np.ndarray, held: Design) -> pd.DataFrame:
    lower, upper = np.quantile(draws, levels(INTERVAL), axis=1)
    return pd.DataFrame({"middle": middle, "lower": lower, "upper": upper, "crps": crps(draws, held.log_loss)})
