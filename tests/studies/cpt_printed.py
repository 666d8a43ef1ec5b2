"""What the studies of CPT dynamics share: printed constants of arXiv:2505.07796, its equations, and its settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

import bayeslaw as bl
from bayeslaw import schedules
from bayeslaw.tables.runs import Runs

__all__ = [
    "FIGURE_3",
    "FIGURE_15",
    "FIGURE_18",
    "OUT_OF_DOMAIN",
    "PEAK",
    "SIZES",
    "coefficients",
    "combined",
    "measured_at",
    "printed",
    "weights",
]

PEAK = 2e-4
PER_RATE = PEAK / (1 - schedules.MEMORY)
"""What a finished decay from the peak rate adds to an annealing area in the end."""
SIZES = {"106M": 106e6, "594M": 594e6, "1.7B": 1720e6}
"""The three models of figure 15."""
FIGURE_3 = {
    "general": dict(L0=3.057, A=0.490, alpha=0.497, B=0.366, E=28, beta=0.189, C_pt=0.299, C_cpt=0.298),
    "domain": dict(L0=3.024, A=0.412, alpha=0.677, B=-0.666, E=5662, beta=0.146, C_pt=0.278, C_cpt=0.324),
}
FIGURE_15: dict[str, dict[str, float]] = {
    "general": dict(L0=1.829, A=0.504, alpha=0.537, B=0.278, E=12, beta=0.359, C_pt=0.090, C_cpt=0.103)
    | dict(gamma_pt=0.235, gamma_cpt=0.199, F=3.072, delta=0.195),
    "domain": dict(L0=1.860, A=0.438, alpha=0.585, B=-0.552, E=187, beta=0.326, C_pt=0.333, C_cpt=0.140)
    | dict(gamma_pt=0.012, gamma_cpt=0.145, F=2.718, delta=0.189),
}
"""Model size in millions."""
FIGURE_18 = {
    "general": dict(L0=2.742, A=0.887, alpha=0.414, S1pt=5.157, B=3.112, E=100, beta=0.072, C_cpt=0.279),
    "domain": dict(L0=2.414, A=0.171, alpha=0.531, S1pt=0.085, B=-0.790, E=17, beta=35.333, C_cpt=0.311),
}
"""Model II: one of the authors' own, taken for one whose pre-training is not known."""
OUT_OF_DOMAIN = {
    "stackexchange": (1.853, -0.546),
    "arxiv": (1.631, -0.609),
    "books": (0.475, 0.611),
    "open-web-math": (1.2, -0.078),
    "c4": (0.152, 0.867),
    "slimpajama": (0.385, 0.622),
    "stories": (-0.516, 1.409),
    "philpapers": (1.505, -0.178),
}
"""Weights of the domain and of the general loss, figures 9 and 21."""
FIRST = {
    "early": schedules.constant(10_000, PEAK, warmup=500),
    "short": schedules.wsd(20_000, PEAK, 4000, warmup=500),
    "flat": schedules.constant(40_000, PEAK, warmup=500),
    "half": schedules.wsd(40_000, PEAK, 8000, PEAK / 2, warmup=500),
    "done": schedules.wsd(40_000, PEAK, 8000, warmup=500),
}
THEN = {
    "constant": schedules.constant(20_000, PEAK, warmup=200),
    "cosine": schedules.cosine(20_000, PEAK, warmup=200),
    "wsd": schedules.wsd(20_000, PEAK, 4000, warmup=200),
    "low": schedules.linear(20_000, PEAK / 2, warmup=200),
}


def measured_at(
    runs: Sequence[str], step: Any, first_step: Any = (), *, sizes: Mapping[str, float] | None = None, **settings: Any
) -> Runs:
    """Return runs of the paper's kind with the areas under their schedules; their losses are still to come.

    Parameters
    ----------
    runs : sequence of str
        ``"done wsd"`` continues a finished decay by WSD; ``"done"`` is the pre-training itself.
    step, first_step : array of int
        Where continual pre-training and pre-training are measured.
    sizes : mapping, optional
        Parameters by name: every run at each of them.
    **settings
        ``before=``, where it is not to be known.
    """
    plans: dict[str, Any] = {}
    before: dict[str, Any] = {}
    parts = []
    for size, N in (sizes or {"": 0.0}).items():
        for name in runs:
            start, _, then = name.partition(" ")
            run = f"{size} {name}".strip()
            plans[run], before[run] = (THEN[then], FIRST[start]) if then else (FIRST[start], None)
            rows = pd.DataFrame({"run": run, "step": step if then else first_step})
            parts.append(rows.assign(general_loss=3.0, domain_loss=3.0, **({"N": N} if sizes else {})))
    return bl.read_curves(pd.concat(parts), schedule=plans, **({"before": before} | settings))


def printed(rows: pd.DataFrame, c: Mapping[str, float]) -> Any:
    """Equations (4) and (7), and that of figure 18, as printed."""
    n = rows["N"] / 1e6 if "N" in rows else 1.0
    S1 = c["S1pt"] + rows["S1cpt"] if "S1pt" in c else rows["S1"]
    annealing = c["C_cpt"] * rows["S2cpt"] * n ** c.get("gamma_cpt", 0.0)
    if "C_pt" in c:
        annealing = annealing + c["C_pt"] * rows["S2pt"] * n ** c.get("gamma_pt", 0.0)
    shift = c["B"] * (1 - (1 + c["E"] * rows["S1cpt"]) ** -c["beta"])
    of_size = c["F"] * n ** -c["delta"] if "F" in c else 0.0
    return c["L0"] + c["A"] * S1 ** -c["alpha"] - annealing + shift + of_size


def coefficients(c: Mapping[str, float]) -> dict[str, float]:
    """Printed constants in the coordinates of the laws."""
    reference = 100.0  # millions of parameters
    found = {k: c[k] for k in ("L0", "A", "alpha")}
    if "S1pt" in c:
        found |= {"A": c["A"] * 4 ** -c["alpha"], "S1pt": c["S1pt"] / 4}
    found |= {"shift": c["B"] * (1 - (1 + 4 * c["E"]) ** -c["beta"]), "E": 4 * c["E"], "beta": c["beta"]}
    for stage in ("pt", "cpt"):
        if (gain := c.get(f"C_{stage}")) is not None:
            found[f"C_{stage}"] = gain * PER_RATE * reference ** c.get(f"gamma_{stage}", 0.0)
            found |= {k: c[k] for k in (f"gamma_{stage}",) if k in c}
    return found | ({"F": c["F"] * reference ** -c["delta"], "delta": c["delta"]} if "F" in c else {})


def combined(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the losses of figure 3 as columns, and those of the eight sets out of domain as their combinations."""
    losses = {f"L_{name}": printed(rows, c) for name, c in FIGURE_3.items()}
    own = {
        f"{name}_loss": domain * losses["L_domain"] + general * losses["L_general"]
        for name, (domain, general) in OUT_OF_DOMAIN.items()
    }
    return rows[["run", "step"]].assign(**losses, **own)


def weights(domain: float, general: float) -> dict[str, float]:
    """Printed weights in the coordinates of the law."""
    return {"w_all": domain + general, "w_domain": domain}
