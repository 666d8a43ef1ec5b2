"""Print how six schedules are predicted from three, by two laws, their stack, and least squares.

python -m tests.held_out_schedules [--draws 1000] [--chains 4] [--settings] [--errors]
"""

import argparse
import warnings
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw.fit import Fit
from bayeslaw.least_squares import HUBER_DELTA
from bayeslaw.power import POWER, PowerMemory
from tests.test_held_out_schedules import (
    LAWS,
    NEW,
    SIZES,
    bands,
    least_squares,
    least_squares_bands,
    mean_scores,
    model,
    orders,
    posterior_bands,
    scored,
)

MEMORIES = (0.99, 0.995, 0.997, 0.998, 0.9985, 0.999, 0.9995, 0.9997)
SHAPES = [PowerMemory(C, POWER.beta, POWER.gamma) for C in (0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 1.0, 2.07)]
TRIED: dict[str, list[dict[str, Any]]] = {
    "lr_annealing": [{"memory": m} for m in MEMORIES],
    "multi_power": [{"power": p} for p in SHAPES],
}
"""Settings of the areas that `--settings` compares on the three schedules."""

OTHERS = [(spacing, robust) for spacing in (1.05, 1.1, 1.2, 1.3) for robust in (False, True)]
"""Spacings of the logged steps and whether errors are robust, that `--errors` compares."""


def show(table: pd.DataFrame, index: bool = True) -> None:
    """Print a table."""
    print(table.to_string(float_format="{:.4f}".format, index=index) + "\n", flush=True)


def huber(fit: Fit) -> float:
    """The objective of the papers at a fit, times 1e6."""
    design = fit.model.design
    size = np.abs(design.log_loss - np.log(fit.loss(design.rows).values.ravel()))
    return float(1e6 * np.where(size < HUBER_DELTA, size**2 / 2, HUBER_DELTA * (size - HUBER_DELTA / 2)).sum())


def settings() -> None:
    """Least squares under other settings of the areas: what it attains on the three schedules, and on the others."""
    for law, tried in TRIED.items():
        rows = []
        for chosen in tried:
            fits = {size: least_squares(law, size, **chosen) for size in SIZES}
            attained = {f"objective {size}M": huber(fit) for size, fit in fits.items()}
            new = {f"MAE {size}M": mean_scores(fit, size, least_squares_bands)["mae"] for size, fit in fits.items()}
            rows.append({"settings": ", ".join(map(str, chosen.values())), **attained, **new})
        print(law)
        show(pd.DataFrame(rows), index=False)


def errors(**sampling: int) -> None:
    """Posteriors under other spacings and error models."""
    for law in LAWS:
        rows = []
        for spacing, robust in OTHERS:
            fit = model(law, spacing=spacing, noise=bl.Noise(robust=robust)).fit(progress=False, **sampling)
            for size in SIZES:
                same = mean_scores(least_squares(law, size, spacing), size, least_squares_bands)["mae"]
                found = mean_scores(fit, size).to_dict()
                rows.append({"spacing": spacing, "robust": robust, "size": size, **found, "least squares mae": same})
        print(f"{law}; least squares of the same rows")
        show(pd.DataFrame(rows), index=False)


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.held_out_schedules", description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--settings", action="store_true", help="only compare settings of the areas")
    parser.add_argument("--errors", action="store_true", help="only compare spacings and error models")
    asked = parser.parse_args()
    sampling = {"draws": asked.draws, "tune": asked.draws, "chains": asked.chains, "seed": 1}
    if asked.settings:
        return settings()
    if asked.errors:
        return errors(**sampling)
    warnings.filterwarnings("ignore", message="the score of", category=UserWarning)
    fits = {}
    for law in LAWS:
        fit = fits[law] = model(law).fit(progress=False, **sampling)
        stats, seen = fit.idata["sample_stats"].to_dataset(), fit.posterior
        r_hat, ess = float(az.rhat(seen).to_array().max()), float(az.ess(seen).to_array().min())
        print(
            f"{law} {LAWS[law]}: {fit.seconds:.0f} s; R-hat at most {r_hat:.3f}, bulk ESS at least {ess:.0f}, "
            f"{int(stats['diverging'].sum())} divergences, {float(stats['n_steps'].mean()):.0f} steps a draw",
            flush=True,
        )
    one = {"draws": asked.draws // 2, "tune": asked.draws // 2, "chains": 2, "cores": 1}
    left_out = {law: bl.evaluate(fit.model, bl.splits.by("run"), progress=False, **one) for law, fit in fits.items()}
    compared = bl.compare(left_out)
    print("\nFitted runs, each left out once")
    show(compared[["elpd", "elpd_diff", "diff_se", "weight", "runs"]])
    weights = {law: float(compared["weight"][law]) for law in LAWS}
    for size in SIZES:
        plain = {f"{law}, least squares": least_squares(law, size) for law in LAWS}
        plain |= {f"{law}, least squares of its rows": least_squares(law, size, None) for law in LAWS}
        rows = {}
        for name in NEW:
            for law, fit in fits.items():
                rows[name, law] = scored(posterior_bands(fit, size, name))
            for law, fit in plain.items():
                rows[name, law] = scored(least_squares_bands(fit, size, name))
            rows[name, "stack"] = scored(bands(fits, weights, size, name))
        table = pd.DataFrame(rows).T
        for score in table:
            by_law = table[score].unstack(0)[list(NEW)]
            print(f"{size}M, {score}")
            show(by_law.assign(mean=by_law.mean(axis=1)))
        pairs = orders(fits, weights, size).rename(columns={"p": "stack"})
        for law, fit in fits.items():
            pairs[law] = orders({law: fit}, {law: 1.0}, size)["p"]
        print(f"{size}M, probability of the true order of the last losses")
        show(pairs, index=False)


if __name__ == "__main__":
    main()
