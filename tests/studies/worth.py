"""What a run is worth: the estimate without a refit beside the mean of refits.

python -m tests.studies.worth [DESIGN ...]
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.numbers import amount
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.workflow import Fit
from tests.studies.page import BUILD, Page, convergence

BEST = 10
"""Candidates that are refitted: the best ones by the estimate."""

MOST_R_HAT = 1.1
"""A refit above it has no width; its outcome is left out for all candidates."""

REFITS: dict[str, Any] = {"draws": 250, "tune": 200, "cores": 1, "seed": 2, "progress": False}


@dataclass(frozen=True)
class Design:
    """Runs, candidates, a question, and the number of outcomes that each candidate is refitted with."""

    title: str
    model: Callable[[], bl.Model]
    candidates: dict[str, list[float]]
    question: str
    asked: dict[str, Any]
    outcomes: int

    def frame(self) -> pd.DataFrame:
        """Return the candidates as a table."""
        return pd.DataFrame(list(product(*self.candidates.values())), columns=[*self.candidates])


def sizes_and_tokens(misfit: Literal["scales"] | None = None) -> bl.Model:
    """Return nine simulated runs of three sizes with the errors of real ones."""
    table = pd.DataFrame(list(product([2e7, 1e8, 5e8], [1e9, 5e9, 2e10])), columns=["N", "D"])
    noise = np.random.default_rng(0).standard_normal(len(table))
    loss = (1.7 + 400 * table["N"] ** -0.34 + 410 * table["D"] ** -0.28) * np.exp(0.005 * noise)
    return bl.Model(models.chinchilla, bl.read_runs(table.assign(loss=loss)), misfit=misfit)


def shares() -> bl.Model:
    """Return the ends of the real runs of the three smaller sizes."""
    table = bl.datasets.load("tinycpt").query("set == 'grid' and schedule == 'constant' and domain == 'python'")
    ends = table["step"].isin([0, table["step"].max()]) & (table["N"] < table["N"].max())
    return bl.Model(models.dcpt, bl.read_runs(table[ends]), reference={"N": 2e5, "D": 1e6}, misfit=None)


SIZES = [2e7, 1e8, 5e8, 2e9]
DESIGNS = {
    "ratio": Design(
        "The ends of 27 real runs of three sizes at nine shares, the critical ratio of the largest of them",
        shares,
        {"N": [12_384, 49_344, 221_664, 922_720], "D": [1.536e6], "domain_share": [0.1, 0.4, 0.7, 0.9]},
        "critical-ratio",
        {"N": 221_664, "D": 1.536e6, "max_rise": 0.01},
        outcomes=24,
    ),
    "misfit": Design(
        "Nine simulated runs of three sizes, a law with a misfit, the loss at N 10 B and D 200 B",
        lambda: sizes_and_tokens("scales"),
        {"N": SIZES, "D": [1e9, 5e9, 2e10, 8e10]},
        "loss",
        {"N": 1e10, "D": 2e11},
        outcomes=40,
    ),
    "allocation": Design(
        "Nine simulated runs of three sizes, the best size for 1e21 FLOPs",
        sizes_and_tokens,
        {"N": SIZES, "D": [1e9, 5e9, 2e10, 8e10]},
        "allocation",
        {"flops": 1e21},
        outcomes=16,
    ),
}


def ask(design: Design, fit: Fit) -> Quantity:
    """Return the answer of a fit."""
    name = design.question.replace("-", "_")
    answer: Quantity = getattr(fit, {"loss": "predict"}.get(name, name))(**design.asked)
    return answer


def width(answer: Quantity) -> float:
    """Return the mean width of the interval, of an allocation in decades."""
    ends = answer.interval()
    lower, upper = (np.log10(ends[k]) if answer.name == "allocation" else ends[k] for k in ("lower", "upper"))
    return float((upper - lower).mean())


def spread_out(answer: Quantity, count: int) -> np.ndarray:
    """Return numbers of draws that are spread over the answer."""
    flat = answer.draws.mean([d for d in answer.draws.dims if d not in ("chain", "draw")]).values.ravel()
    return np.argsort(flat, kind="stable")[((np.arange(count) + 0.5) / count * flat.size).astype(int)]


def refitted(name: str, fit: Fit, plan: pd.DataFrame) -> np.ndarray:
    """Return the widths after one candidate, for outcomes that the draws of the posterior simulate.

    All candidates see the same draws and the same random numbers of their errors. Finished ones are kept.
    """
    place = " ".join(f"{c} {float(plan[c].iloc[0]):g}" for c in plan)
    design, kept = DESIGNS[name], BUILD / "worth" / f"{name}, {place}.txt"
    if kept.is_file():
        return np.loadtxt(kept)
    columns = fit.columns(**{str(c): float(plan[c].iloc[0]) for c in plan})
    measured = fit.loss(columns, new_run=True, seed=5).transpose("chain", "draw", "eval").values
    measured = measured.reshape(-1, len(fit.evals))
    runs, widths = fit.model.runs, []
    for draw in spread_out(ask(design, fit), design.outcomes):
        losses = dict(zip(runs.loss_columns, measured[draw], strict=True))
        row = plan.assign(run="the candidate", **losses)
        more = replace(runs, table=pd.concat([runs.table, row[runs.table.columns.intersection(row.columns)]]))
        again = replace(fit.model, runs=replace(more, table=more.table.reset_index(drop=True)))
        refit = again.fit(**REFITS)
        widths.append(width(ask(design, refit)) if convergence(refit)["R-hat"] < MOST_R_HAT else np.nan)
    np.savetxt(kept, widths)
    return np.array(widths)


def compared(name: str, fit: Fit) -> pd.DataFrame:
    """Return the best candidates by the estimate, with the widths by estimate and by refits."""
    design = DESIGNS[name]
    found = fit.next_runs(design.question, candidates=design.frame(), **design.asked)
    table = found.frame().nsmallest(BEST, "width").reset_index(drop=True)
    widths = np.array([refitted(name, fit, table.loc[[n], [*design.candidates]]) for n in range(len(table))])
    widths = widths[:, np.isfinite(widths).all(axis=0)]
    error = widths.std(axis=1, ddof=1) / np.sqrt(widths.shape[1])
    return table[[*design.candidates, "width", "width_error"]].assign(
        refits=widths.mean(axis=1), refits_error=error, outcomes=widths.shape[1]
    )


def main() -> None:
    """Compare the designs, and write the page."""
    page = Page("worth", "What a run is worth, without and with refits")
    page.text(
        "[`fit.next_runs`](../how-to/next-runs.md) says how wide the interval of an answer is expected to be after a "
        "run, from the draws of one posterior. Here the ten best candidates of each design are simulated and "
        "refitted: each outcome is a draw's loss with the error of a new run, the refit has 4 x 250 draws, and the "
        "width is that of its 89 % interval, the mean over outcomes. Outcomes of all candidates come from the same "
        "draws. *error*: of the estimate by its draws, and of the refits by their outcomes, which the candidates share."
    )
    for name in sys.argv[1:] or DESIGNS:
        design = DESIGNS[name]
        fit = page.fit(name, design.model())
        before, table = width(ask(design, fit)), compared(name, fit)
        rank = spearmanr(table["width"], table["refits"]).statistic
        ratio = table["width"] / table["refits"]
        page.text(f"## {design.title}")
        page.text(
            f"The interval is {before:.4g} wide before any of them; {table.pop('outcomes')[0]} of {design.outcomes} "
            "outcomes count, those of which every refit gave a width. Rank correlation of "
            f"the {BEST}: **{rank:.2f}**. The estimate is {ratio.min():.2f} to "
            f"{ratio.max():.2f} of that of refits."
        )
        for column in ("N", "D"):
            table[column] = table[column].map(amount)
        page.table(table.rename(columns={"width_error": "error", "refits_error": "error "}), 4)
    page.write()


if __name__ == "__main__":
    main()
