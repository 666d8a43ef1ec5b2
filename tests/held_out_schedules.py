"""Print how six schedules are predicted from three, by the posterior and by least squares.

python -m tests.held_out_schedules [--draws 1000] [--chains 4] [--compare]
"""

import argparse

import arviz as az
import pandas as pd

from tests.test_held_out_schedules import (
    NEW,
    SIZES,
    bands,
    least_squares,
    least_squares_bands,
    orders,
    posterior,
    scored,
)

OTHERS = ((1.0, False), (1.0, True), (1.1, False), (1.1, True), (1.2, False))
"""Spacings of the logged steps and whether errors are robust, beside what is printed first (1.2, robust)."""


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.held_out_schedules", description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--compare", action="store_true", help="also other spacings and error models")
    asked = parser.parse_args()
    settings = {"draws": asked.draws, "tune": asked.draws, "chains": asked.chains, "seed": 1}
    plain = {size: least_squares(size) for size in SIZES}
    fit = posterior(**settings)
    stats = fit.idata["sample_stats"].to_dataset()
    ess, divergences = float(az.ess(fit.posterior).to_array().min()), int(stats["diverging"].sum())
    r_hat, steps = float(az.rhat(fit.posterior).to_array().max()), float(stats["n_steps"].mean())
    print(
        f"{asked.chains} chains of {asked.draws} draws, {fit.seconds:.0f} s; R-hat at most {r_hat:.3f}, bulk ESS at "
        f"least {ess:.0f}, {divergences} divergences, {steps:.0f} steps a draw\n"
    )
    for size in SIZES:
        rows = {}
        for name in NEW:
            rows[name, "posterior"] = scored(bands(fit, size, name))
            rows[name, "least squares"] = scored(least_squares_bands(plain[size], size, name))
        table = pd.DataFrame(rows).T.unstack()
        table.loc["mean"] = table.mean()
        print(f"{size}M\n{table.to_string(float_format='{:.4f}'.format)}\n")
        print(orders(fit, size).to_string(index=False, float_format="{:.4f}".format) + "\n")
    if asked.compare:
        for spacing, robust in OTHERS:
            fit = posterior(spacing, robust, **settings)
            for size in SIZES:
                mean = pd.DataFrame([scored(bands(fit, size, name)) for name in NEW]).mean()
                print(f"spacing {spacing}, robust {robust}, {size}M: {mean.round(4).to_dict()}, {fit.seconds:.0f} s")


if __name__ == "__main__":
    main()
