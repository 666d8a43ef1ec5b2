"""What is replayed: public tables, what is asked of each, and a simulated table whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE, levels
from bayeslaw.tables.mixtures import normalised, sources
from bayeslaw.workflow import Fit
from tests.benchmarks.small_tables import TRUTH
from tests.benchmarks.small_tables import rows as simulated_rows
from tests.studies import mixtures, repetition, slimpajama
from tests.studies.page import DATA

__all__ = ["CASES", "TARGET", "Case"]

STAGES = (0.05, 0.1, 0.2, 0.4)
"""Shares of all FLOPs up to which each rule spends before it answers again."""

LEAST_RUNS = 4
"""Runs of a start: a tenth of all, at least these, at random among the cheapest twice as many."""

PROB = 0.89
TARGET = 1e22
"""FLOPs of the allocation that tables of size and tokens are asked for."""


@dataclass(frozen=True)
class Case:
    """A table of runs, what is asked of it, and the unit in which answers are compared.

    ``order`` are the columns by which a study writes down its grid, none where all runs cost the same and are drawn
    at random; ``first`` is the number of runs of a start where it is not a tenth of all.
    """

    title: str
    table: pd.DataFrame
    model: Callable[[pd.DataFrame], bl.Model]
    ask: Callable[[Fit], bl.Quantity]
    unit: str
    order: tuple[str, ...] = ()
    truth: float | None = None
    peer: bool = False
    stages: tuple[float, ...] = STAGES
    first: int | None = None

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The last row of every run with its cost (6 N D), indexed by run."""
        last = self.table.sort_values("D").drop_duplicates("run", keep="last").set_index("run").sort_index()
        return last.assign(cost=6.0 * last["N"] * last["D"])

    def rows(self, runs: list[str]) -> pd.DataFrame:
        """The rows of some runs."""
        return self.table[self.table["run"].isin(runs)]

    def start(self, seed: int) -> list[str]:
        """A tenth of the runs, at random among the cheapest fifth."""
        count = self.first or max(LEAST_RUNS, round(len(self.runs) / 10))
        rng = np.random.default_rng([seed, 0])
        cost = self.runs["cost"].loc[rng.permutation(self.runs.index)]
        pool = cost.sort_values(kind="stable").index[: 2 * count]
        return [str(run) for run in rng.choice(pool, count, replace=False)]

    def answer(self, fit: Fit) -> dict[str, float]:
        """Median and interval of the answer."""
        draws = self.ask(fit).draws.transpose(..., *SAMPLE).values.ravel()
        lower, upper = np.quantile(draws, levels(PROB))
        return {"median": float(np.median(draws)), "lower": float(lower), "upper": float(upper)}


def checkpoints(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return so many checkpoints of every run, evenly spread, the last one included."""
    every = [rows for _, rows in table.sort_values("D").groupby("run")]
    at = [np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)) for rows in every]
    return pd.concat([rows.iloc[kept] for rows, kept in zip(every, at, strict=True)], ignore_index=True)


def size(fit: Fit, **asked: Any) -> bl.Quantity:
    """Return the model size of the best allocation, in decades."""
    found = fit.allocation(flops=TARGET, **asked)
    return bl.Quantity("size", xr.ufuncs.log10(found.draws.sel(quantity="N", drop=True)), "decades", found.what)


def saving(fit: Fit, at_most: dict[str, float], **asked: Any) -> bl.Quantity:
    """Return how far the best mixture lies below an even one."""
    return fit.best_mixture(at_most=at_most, **asked).gain(dict.fromkeys(at_most, 1 / len(at_most)))


def tried(table: pd.DataFrame) -> dict[str, float]:
    """Return the largest share of every source in a table."""
    return {source: float(table[f"weight_{source}"].max()) for source in sources(table)}


def tinycpt() -> Case:
    """Tiny models of four sizes at nine shares, each the six checkpoints of a run."""
    table = bl.datasets.load("tinycpt").query("schedule == 'constant' and set == 'grid' and domain == 'python'")
    before, largest = table.query("step == 0"), table["N"].max()
    baseline = float(before.loc[before["N"] == largest, "general_loss"].mean())
    kept = checkpoints(table.query("step >= 300"), 6)
    last = float(kept["D"].max())
    return Case(
        "tinycpt: the share of Python at which the general loss of the largest model rises by 1 %",
        kept[["run", "N", "D", "domain_share", "general_loss"]],
        lambda rows: bl.Model(
            models.dcpt, bl.read_runs(rows), reference={"N": 2e5, "D": 1e6}, outside="exclude", misfit="scales"
        ),
        lambda fit: fit.critical_ratio(N=largest, D=last, max_rise=0.01, baseline=baseline),
        "shares",
        ("N", "domain_share"),
    )


def slimpajama_grid() -> Case:
    """Models of three sizes on 60 and 40 mixtures of seven sources, four checkpoints of a run."""
    loss = f"{slimpajama.GOAL}_loss"
    table = slimpajama.losses().dropna(subset=loss)
    shares = tried(table)
    N, D = float(table["N"].max()), float(table["D"].max())
    return Case(
        "slimpajama_grid: what the best of seven-source mixtures saves in the loss on OpenHermes, at 680 M and 26 B "
        "tokens, over an even mixture",
        checkpoints(table[["run", "N", "D", *(f"weight_{s}" for s in shares), loss]], 4),
        lambda rows: bl.Model(models.nested_data_mixing, bl.read_runs(rows), misfit="scales"),
        partial(saving, at_most=shares, N=N, D=D),
        "nats",
        ("N",),
        stages=(0.05, 0.1, 0.2),
    )


def regmix() -> Case:
    """Models of 1 M parameters on 512 random mixtures of 17 sources, each trained on 1 B tokens."""
    table, _ = normalised(mixtures.regmix("train", "1m"))
    shares = tried(table)
    columns = ["run", *(f"weight_{s}" for s in shares), "pile_cc_loss"]
    return Case(
        "regmix, 512 runs that all cost the same: what the best of 17-source mixtures saves in the loss on Pile-CC "
        "over an even mixture",
        table[columns].assign(N=1e6, D=1e9),
        lambda rows: bl.Model(models.data_mixing, bl.read_runs(rows), outside="include", misfit="scales"),
        partial(saving, at_most=shares),
        "nats",
        stages=(0.1, 0.15),
        first=36,
    )


def datablations() -> Case:
    """Runs of 83 M to 8.7 B parameters whose tokens are seen up to four times."""
    table = repetition.datablations(4.05).drop(columns="cell")
    return Case(
        "datablations, up to 4 epochs: the model size for 1e22 FLOPs and 50 B unique tokens",
        table,
        lambda rows: bl.Model(
            models.effective_tokens, bl.read_runs(rows), noise=bl.Noise(robust=True), misfit="scales"
        ),
        partial(size, U=5e10),
        "decades",
        ("N", "D"),
    )


def gemstones() -> Case:
    """Models of 22 sizes along training to 100 B tokens, the early parts left out, six checkpoints of a run."""
    table = pd.read_csv(DATA / "families" / "families.csv").query("family == 'gemstones'")
    late = table[table["D"] >= 0.05 * table.groupby("run")["D"].transform("max")]
    return Case(
        "gemstones, 22 sizes of 48 M to 2 B: the model size for 1e22 FLOPs",
        checkpoints(late[["run", "N", "D", "loss"]], 6),
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), misfit="scales"),
        size,
        "decades",
        ("N", "D"),
        peer=True,
    )


def chinchilla() -> Case:
    """The points read off Chinchilla's figure, those beyond 1e21 FLOPs left out."""
    points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
    N = points["Model Size"]
    table = pd.DataFrame({"run": points.index.map("run {:03d}".format), "N": N, "D": points["Training FLOP"] / (6 * N)})
    table = table.assign(loss=points["loss"])[points["Training FLOP"] <= 1e21]
    return Case(
        "Chinchilla points up to 1e21 FLOPs: the model size for 1e22 FLOPs",
        table.reset_index(drop=True),
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), noise=bl.Noise(robust=True), misfit="scales"),
        size,
        "decades",
        ("N", "D"),
        peer=True,
    )


def simulated() -> Case:
    """Simulated runs of the Chinchilla law, 7 sizes x 4 numbers of tokens."""
    table = pd.DataFrame(simulated_rows())
    table.insert(0, "run", [f"run {i:02d}" for i in range(len(table))])
    N, t = np.geomspace(1e8, 1e12, 40001), TRUTH
    loss = t["E"] + t["A"] * (N / 1e9) ** -t["alpha"] + t["B"] * (TARGET / (6 * N) / 1e10) ** -t["beta"]
    return Case(
        "Simulated from the Chinchilla law, 28 runs: the model size for 1e22 FLOPs, whose truth is known",
        table,
        lambda rows: bl.Model(models.chinchilla, bl.read_runs(rows), misfit=None),
        size,
        "decades",
        ("N", "D"),
        truth=float(np.log10(N[loss.argmin()])),
        peer=True,
    )


CASES: dict[str, Callable[[], Case]] = {
    "simulated": simulated,
    "tinycpt": tinycpt,
    "slimpajama_grid": slimpajama_grid,
    "regmix": regmix,
    "datablations": datablations,
    "gemstones": gemstones,
    "chinchilla": chinchilla,
}
