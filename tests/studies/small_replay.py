"""A run at 1 % replay, predicted from the others: prints the tables of docs/how-to/small-replay.md.

``python -m tests.studies.small_replay``
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from bayeslaw.workflow import Fit

LEFT_OUT = 0.99
"""Share of German of the run that is predicted."""

BASES = {"pile-german-405M": 2.17, "pile-slimpajama-405M": 2.17, "pile-slimpajama-10B": 1.75}
"""The general loss of the base models (the card of the data set)."""

SETTINGS: dict[str, Any] = {"seed": 1, "progress": False}


def german(law: Law) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs on German with the columns of a law; and those columns."""
    table = bl.datasets.load("replay").query("set == 'pile-german-405M'")
    shares = {"weight_general": 1 - table["domain_share"], "weight_german": table["domain_share"]}
    table = table.assign(**shares, L_base=BASES["pile-german-405M"])
    if law is models.replay:
        table = table[table["domain_share"] >= 0.9]  # no other measurement lies in its range
    return table, [*shares] if law.kind == "mixture" else [c for c in law.columns if c in table]


def one_percent() -> None:
    """Print the general loss of a new run at 1 %, beside the measured one."""
    measured = german(models.dcpt)[0].query("domain_share == @LEFT_OUT")["general_loss"].item()
    print(f"measured {measured:.2f}\n\n| law | general loss at 1 % |\n|---|---|")
    for law in (models.dcpt, models.bimix, models.data_mixing, models.replay):
        table, own = german(law)
        losses = [f"{e}_loss" for e in law.evals or ("general", "domain")]
        left_out = table["domain_share"] == LEFT_OUT
        runs = bl.read_runs(table.loc[~left_out, ["run", *own, *losses]])
        fit = bl.Model(law, runs, outside="include", misfit=None).fit(**SETTINGS)
        found = fit.predict(table.loc[left_out, own], new_run=True)
        row = (found.query("eval == 'general'") if "eval" in found else found).iloc[0]
        print(f"| `{law.name}` | {row['mean']:.2f} [{row['lower']:.2f}, {row['upper']:.2f}] |", flush=True)


def sets() -> Iterator[tuple[str, bl.Model]]:
    """Yield real runs for the law `replay`, in words, with their model."""
    table = bl.datasets.load("replay").query("D > 0 and domain_share >= 0.9")
    columns = ["run", "N", "D", "domain_share", "general_loss", "L_base"]
    for name in ("pile-german-405M", "pile-slimpajama-405M"):
        rows = table[table["set"] == name].assign(L_base=BASES[name])
        yield f"{name}, {len(rows)} runs", bl.Model(models.replay, bl.read_runs(rows[columns]), misfit=None)
    tiny = bl.datasets.load("tinycpt").query("schedule == 'constant' and (step == 0 or step >= 300)")
    tiny = tiny[((tiny["D"] == 0) | (tiny["domain_share"] >= 0.9)) & (tiny["domain"] == "python")]
    runs = bl.read_runs(tiny[["run", "N", "D", "domain_share", "general_loss"]])
    yield "tinycpt, shares of 0.9 and 1", bl.Model(models.replay, runs, reference={"N": 2e5, "D": 1e6}, misfit=None)


def smallest(fit: Fit) -> str:
    """Return the smallest replay for a rise of 0.1 nats at the largest run of a fit."""
    largest = fit.model.runs.table.sort_values(["N", "D"]).iloc[-1]
    asked: dict[str, Any] = {"N": float(largest["N"]), "D": float(largest["D"]), "baseline": float(largest["L_base"])}
    found = fit.smallest_replay(**asked, max_increase=0.1, new_run=True)
    enough = float(found.enough())
    return (
        f"{found.text().item()} | {enough:.3g}"
        if enough == enough
        else f"{found.text().item()} | above {found.high:.2g}"
    )


def main() -> None:
    """Print both tables."""
    one_percent()
    print(
        "\n| runs | left out by | of | held | mean error (nats) | smallest replay for 0.1 nats | with probability 0.9 |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, model in sets():
        by = "N" if "tinycpt" in name else "domain_share"
        rows = bl.evaluate(model, bl.splits.by(by), seed=1, draws=500, chains=2, progress=False).rows
        held = rows["observed"].between(rows["lower"], rows["upper"]).sum()
        error = (rows["mean"] - rows["observed"]).abs().mean()
        fit = model.fit(**SETTINGS)
        print(f"| {name} | {by} | {len(rows)} | {held} | {error:.3f} | {smallest(fit)} |", flush=True)


if __name__ == "__main__":
    main()
