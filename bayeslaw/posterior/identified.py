"""What the runs do not determine, whatever was measured: sources that never vary apart, columns with a single value."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import counted, place
from bayeslaw.declare.names import WEIGHT
from bayeslaw.posterior.draws import Posterior, kept

__all__ = ["Untold", "columns_without_variation", "mixture_cautions", "untold_coefficients", "untold_mixtures"]

SAME_SHARE = 1e-3
"""Difference of shares that counts as none: shares in tables are rounded."""

FAR_SHARE = 0.01
"""Distance of a share from all combinations of the runs' mixtures from which a mixture lies outside them."""

SAME_VALUE = 1e-6
"""Relative difference of other columns that counts as none."""

STEP = 1.1
"""Factor by which a coefficient is moved to see whether a slope of the law depends on it."""

ALIKE = 1e-9
"""1 minus the squared cosine of the effects of two coefficients on the losses of the runs up to which they are the
same."""

SOME_ROWS = 50
"""Rows of the runs at which effects are compared."""

MOST_NAMED = 6
"""Sources that a sentence names."""


@dataclass(frozen=True)
class Untold:
    """Something that the runs do not determine, in words, and the sources that it is about."""

    text: str
    sources: tuple[str, ...]


@kept
def _tried(fit: Posterior) -> xr.DataArray:
    """Return the shares of the mixtures that were fitted, each once."""
    design = fit.model.design
    shares = design.rows[WEIGHT].transpose("row", "source")
    measured = design.measured.any("eval").values
    return shares.isel(row=np.unique(shares.values[measured].round(9), axis=0, return_index=True)[1])


def untold_mixtures(fit: Posterior) -> list[Untold]:
    """Return what the mixtures of the runs leave open, by the ranks of their shares; empty for laws without shares.

    A law reads mixtures through a sum over sources, coefficient times share. Coefficients may move along a direction in
    which no run's sum changes, without any measurement against it; there the posterior is the prior.
    """
    return _untold_mixtures(fit) if fit.model.law.vectors else []


@kept
def _untold_mixtures(fit: Posterior) -> list[Untold]:
    tried = _tried(fit)
    shares, names = tried.values, [str(s) for s in tried["source"].values]
    if len(shares) == 1:
        return [Untold("all runs have the same mixture and say nothing about any other", tuple(names))]
    found, used = [], shares.max(axis=0) > 0
    if absent := [n for n, is_used in zip(names, used, strict=True) if not is_used]:
        found.append(Untold(f"{_listed(absent)} {'is' if len(absent) == 1 else 'are'} in no run", tuple(absent)))
    varies = np.ptp(shares, axis=0) > SAME_SHARE
    if constant := [n for n, u, v in zip(names, used, varies, strict=True) if u and not v]:
        each = "has" if len(constant) == 1 else "have"
        found.append(Untold(f"{_listed(constant)} {each} the same share in all runs", tuple(constant)))
    left = [int(s) for s in np.flatnonzero(used & varies)]
    groups = _tied(shares, left)
    found += [
        Untold(f"{_listed([names[s] for s in group])} never vary apart", tuple(names[s] for s in group))
        for group in groups
        if len(group) > 1
    ]
    together = [*groups, *([[names.index(n) for n in constant]] if constant else [])]
    apart = np.column_stack([shares[:, group].sum(axis=1) for group in together])
    rank, most = _rank(apart), apart.shape[1]
    if rank < most:
        of = f"{counted(len(left), 'source')} in {counted(len(shares), 'mixture')}"
        text = f"the runs vary their mixtures in {rank - 1} of {most - 1} directions ({of})"
        found.append(Untold(text, tuple(names[s] for s in left)))
    return found


def mixture_cautions(fit: Posterior, shares: xr.DataArray) -> tuple[str, ...]:
    """Return a caution if mixtures (dim ``source`` and any others) go where no combination of the runs' mixtures goes.

    Each is compared with the nearest combination; a law without shares, or one that its runs identify, has no caution.
    """
    if not (untold := untold_mixtures(fit)):
        return ()
    _, size, axes = np.linalg.svd(_tried(fit).values, full_matrices=False)
    axes = axes[size > SAME_SHARE * np.sqrt(_tried(fit).sizes["row"])]
    values = shares.transpose(..., "source").values
    beyond = (abs(values - values @ axes.T @ axes) > FAR_SHARE).any(axis=-1)
    taken = set(shares["source"].values[(values[beyond] > SAME_SHARE).any(axis=0)])
    reasons = [u.text for u in untold if taken & set(u.sources)]
    return (f"{'; '.join(reasons)}: the priors decide about such mixtures, not the runs",) if reasons else ()


def columns_without_variation(fit: Posterior) -> dict[str, float]:
    """Return the columns of the law that have one value in all fitted rows, and that value.

    Columns with a coefficient of their own for each value (`by`, or a prior's dims) are left out.
    """
    design = fit.model.design
    measured, found = design.measured.any("eval").values, {}
    for column in (c for c in design.levels if c not in design.groups):
        values = design.rows[column].values[measured].astype(float)
        if np.ptp(values) <= SAME_VALUE * abs(values).max():
            found[column] = float(values[0])
    return found


@kept
def untold_coefficients(fit: Posterior) -> dict[str, tuple[str, ...]]:
    """Return, in words for every column without variation, the coefficients that it leaves open.

    The law's slope in the column depends on them, and at its one value each moves the losses of the runs as another
    coefficient does. The exponent of tokens is not one of them where tokens vary, though a slope in the share has it.
    """
    law, design = fit.model.law, fit.model.design
    if not (alone := columns_without_variation(fit)):
        return {}
    measured = np.flatnonzero(design.measured.any("eval").values)
    rows = design.rows.isel(row=measured[np.linspace(0, len(measured) - 1, SOME_ROWS).astype(int)])
    here = design.with_evals(rows[[c for c in dict.fromkeys([*law.columns, *design.groups]) if c in rows]])
    found = {}
    middle = {k: v.mean(SAMPLE) for k, v in fit.coefficients(here).items()}

    def losses(at: xr.Dataset, coefficients: dict[str, xr.DataArray]) -> xr.DataArray:
        found: xr.DataArray = law(*law.inputs(at, design.reference).values(), **coefficients)
        return found

    moved = {k: middle | {k: STEP * v} for k, v in middle.items()}
    effects = {k: losses(here, each) - losses(here, middle) for k, each in moved.items()}
    doubled = [k for k in effects if any(_alike(effects[k], effects[other]) for other in effects if other != k)]
    for column, value in alone.items():
        there = here.assign({column: 0.5 * here[column]})

        plain = losses(here, middle) - losses(there, middle)
        steeper = {k: abs(losses(here, each) - losses(there, each) - plain).max() for k, each in moved.items()}
        least = SAME_VALUE * abs(plain).max()
        found[f"one {place({column: value})}"] = tuple(k for k in doubled if steeper[k] > least)
    return found


def _alike(effect: xr.DataArray, other: xr.DataArray) -> bool:
    """Return whether one effect on losses is the other's times a factor, which each loss may have of its own."""
    dims = [d for d in effect.dims if d != "eval"]
    both, own, others = (effect * other).sum(dims) ** 2, (effect**2).sum(dims), (other**2).sum(dims)
    return bool(((own == 0) | ((others > 0) & (both >= (1 - ALIKE) * own * others))).all())


def _tied(shares: np.ndarray, sources: list[int]) -> list[list[int]]:
    """Return the sources in groups whose shares have the same ratio in all mixtures."""
    groups: list[list[int]] = []
    for source in sources:
        for group in groups:
            ratio = shares[:, source].sum() / shares[:, group[0]].sum()
            if abs(shares[:, source] - ratio * shares[:, group[0]]).max() < SAME_SHARE:
                group.append(source)
                break
        else:
            groups.append([source])
    return groups


def _rank(matrix: np.ndarray) -> int:
    """Return the number of directions along which rows differ by more than rounding."""
    return int((np.linalg.svd(matrix, compute_uv=False) > SAME_SHARE * np.sqrt(len(matrix))).sum())


def _listed(names: list[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
