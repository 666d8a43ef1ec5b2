"""Simulated studies of continual pre-training with the D-CPT law, whose true losses are known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models

__all__ = ["Study", "study"]

SIZES = np.array([0.5e9, 1.8e9, 4e9])
TOKENS = np.linspace(1.31e9, 26.2e9, 20)
SHARES = np.array([0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9])
MEDIAN = {"E": 1.5, "A": 0.4, "alpha": 0.3, "B": 0.08, "beta": 0.3, "eta": 1.2, "C": 0.4, "gamma": 0.4, "eps": 0.08}
SPREAD = {"E": 0.15, "A": 0.2, "alpha": 0.15, "B": 0.3, "beta": 0.15, "eta": 0.1, "C": 0.3, "gamma": 0.2, "eps": 0.2}
SIGMA, RUN_WEIGHT, LENGTH, BETWEEN_EVALS = 0.005, 0.4, 0.5, 0.5
"""Relative error of a loss; its part common to a run; correlation length in log tokens; between the validation sets."""


@dataclass(frozen=True)
class Study:
    """A simulated table, and the coefficients behind it (dims eval, domain)."""

    table: pd.DataFrame
    truth: xr.Dataset

    def losses(self, N: np.ndarray, D: np.ndarray, domain_share: np.ndarray) -> np.ndarray:
        """Return the true losses (eval, domain, point) at points."""
        at = {"N": N / 1e9, "D": D / 1e10, "domain_share": domain_share}
        points = {k: xr.DataArray(v, dims="point") for k, v in at.items()}
        shares = xr.concat([1 - points["domain_share"], points["domain_share"]], dim="eval")
        truth = self.truth.drop_vars(list(self.truth.coords))
        loss = models.dcpt(points["N"], points["D"], shares, **{str(k): c for k, c in truth.data_vars.items()})
        values: np.ndarray = loss.transpose("eval", "domain", "point").values
        return values


def study(
    domains: int, seed: int, sizes: np.ndarray = SIZES, tokens: np.ndarray = TOKENS, shares: np.ndarray = SHARES
) -> Study:
    """Simulate a full factorial design with both losses.

    Coefficients scatter around medians common to the domains; those whose loss rises in its own share somewhere in the
    design are drawn again, as the law's paper requires. Errors are relative: a run effect, an Ornstein-Uhlenbeck
    process in log tokens, and a correlation between the two losses of a run.
    """
    rng = np.random.default_rng(seed)
    truth = _coefficients(domains, rng, tokens)
    runs = pd.MultiIndex.from_product([range(domains), sizes, shares], names=["domain", "N", "domain_share"])
    frame = runs.to_frame(index=False)
    number = np.repeat(np.arange(len(frame)), len(tokens))
    table = frame.iloc[number].reset_index(drop=True)
    table["D"] = np.tile(tokens, len(frame))
    points = Study(table, truth).losses(*(table[c].to_numpy() for c in ("N", "D", "domain_share")))
    mean = points[:, table["domain"].to_numpy(), np.arange(len(table))]
    loss = mean * np.exp(_errors(len(frame), np.log(tokens), rng).reshape(2, -1))
    table["general_loss"], table["domain_loss"] = loss
    table["run"] = [f"run {i}" for i in number]
    table["domain"] = [f"domain {i}" for i in table["domain"]]
    return Study(table, truth)


def _coefficients(domains: int, rng: np.random.Generator, tokens: np.ndarray) -> xr.Dataset:
    drawn: list[dict[str, float]] = []
    while len(drawn) < 2 * domains:
        c = {k: m * float(np.exp(rng.normal(0, SPREAD[k]))) for k, m in MEDIAN.items()}
        D, share = tokens.min() / 1e10, np.linspace(0.1, 1.0, 50)
        if (np.diff(models.dcpt(1.0, D, share, **c)) < 0).all():
            drawn.append(c)
    coords = {"eval": ["general", "domain"], "domain": [f"domain {i}" for i in range(domains)]}
    return xr.Dataset(
        {k: (("eval", "domain"), np.reshape([c[k] for c in drawn], (2, domains))) for k in MEDIAN}, coords=coords
    )


def _errors(runs: int, log_tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return errors (eval, run, checkpoint) on the log scale."""
    z = rng.standard_normal((2, runs, len(log_tokens) + 1))
    z[1] = BETWEEN_EVALS * z[0] + np.sqrt(1 - BETWEEN_EVALS**2) * z[1]
    process = z[..., 1:].copy()
    for k, gap in enumerate(np.diff(log_tokens), 1):
        decay = np.exp(-gap / LENGTH)
        process[..., k] = decay * process[..., k - 1] + np.sqrt(1 - decay**2) * z[..., k + 1]
    return SIGMA * (np.sqrt(RUN_WEIGHT) * z[..., :1] + np.sqrt(1 - RUN_WEIGHT) * process)
