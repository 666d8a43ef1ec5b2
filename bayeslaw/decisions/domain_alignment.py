"""Distribution alignment: the mixture whose domain vector is nearest to that of a validation set, without training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import counted
from bayeslaw.decisions import simplex
from bayeslaw.decisions.question import given
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.posterior.quantity import Censored
from bayeslaw.tables.mixtures import blend, bounds

__all__ = ["alignment", "domain_vectors"]

DISTANCES = ("huber", "jensen-shannon")

DISTANCE_GAP = 1e-12
"""Gap to the smallest distance at which to stop; entries of vectors are often a thousandth."""

ZERO_SINGULAR = 1e-6
"""Relative size below which a singular value counts as 0."""

SMALLEST_ENTRY = 1e-12
"""Number added to entries of vectors inside logarithms."""


def domain_vectors(counts: pd.DataFrame, draws: int = 1000, seed: int = 0) -> xr.DataArray:
    """Return posterior draws of domain vectors from classified documents.

    Parameters
    ----------
    counts : DataFrame
        One row per meta-domain, one column per data set: classified documents, or sums of the classifier's
        probabilities over documents.
    draws, seed : int
        Number of draws and seed.

    Returns
    -------
    DataArray
        Dims (chain, draw, meta_domain, source); every vector sums to 1.

    Raises
    ------
    DataError
        A count is negative or missing, or a data set has none.

    Notes
    -----
    Dirichlet-multinomial, with a prior of one document in all, spread evenly. The draws show the error of few documents
    (the paper has 1,000), not that of the classifier.
    """
    values = counts.to_numpy(float)
    if not (values >= 0).all() or not (values.sum(0) > 0).all():
        raise DataError(
            "counts have a value below 0 or missing, or a data set without documents: correct or drop the column"
        )
    rng = np.random.default_rng(seed)
    gamma = rng.standard_gamma(values + 1 / len(values), (1, draws, *values.shape))
    labels = {"meta_domain": counts.index.astype(str).to_numpy(), "source": counts.columns.astype(str).to_numpy()}
    coords = {"chain": [0], "draw": np.arange(draws), **labels}
    return xr.DataArray(gamma / gamma.sum(2, keepdims=True), dims=list(coords), coords=coords)


def alignment(
    vectors: pd.DataFrame | xr.DataArray,
    target: Any,
    *,
    distance: str = "huber",
    delta: float = 1.0,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
) -> Censored:
    """Return the mixture whose blend of domain vectors is nearest to a target vector, for every draw.

    Parameters
    ----------
    vectors : DataFrame or DataArray
        Domain vectors of the data sets: rows meta-domains and columns data sets, or draws (`domain_vectors`).
    target : mapping, Series, or DataArray
        Domain vector of the validation set, by meta-domain; or draws of one, with the dim ``meta_domain``,
        which are paired with those of the vectors.
    distance : {"huber", "jensen-shannon"}
        The paper's choice, or the divergence it compares with.
    delta : float
        Difference of entries from which the Huber loss is linear. The paper gives none; 1, the default of common
        libraries, gives half the squared distance, and values near 0 the sum of absolute differences.
    at_most, at_least : mapping, optional
        Bounds on the share of a data set.

    Returns
    -------
    Censored
        Dims (chain, draw, source).

    Raises
    ------
    DataError, RangeError, UnknownName
        A vector does not sum to 1; the bounds leave no mixture; `delta` is not above 0; a data set, meta-domain or
        distance does not exist.

    Notes
    -----
    The method DA2 of Zhang et al. 2025, arXiv:2506.10952, as a convex optimum instead of the best of random candidates.
    """
    if distance not in DISTANCES:
        raise unknown_name("distance", distance, DISTANCES)
    if not delta > 0:
        raise RangeError(f"delta is {delta}: give a number above 0")
    V = vectors if isinstance(vectors, xr.DataArray) else blend(vectors)
    if not isinstance(target, xr.DataArray):
        target = blend(pd.Series(target).to_frame("target")).sel(source="target", drop=True)
    for name in target["meta_domain"].values:
        if name not in V["meta_domain"].values:
            raise unknown_name("meta-domain in the vectors", name, V["meta_domain"].values)
    target = target.reindex(meta_domain=V["meta_domain"], fill_value=0.0)
    V, target = xr.broadcast(*xr.align(V, target, join="inner"), exclude=["source"])
    V, target = (a.expand_dims({d: [0] for d in SAMPLE if d not in a.dims}) for a in (V, target))
    names = [str(s) for s in V["source"].values]
    low, high = bounds(names, at_least, at_most)
    matrix = V.transpose(*SAMPLE, "meta_domain", "source")
    blends = matrix.values.reshape(-1, *matrix.shape[2:])
    wanted = target.transpose(*SAMPLE, "meta_domain").values.reshape(len(blends), -1)

    def each(x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        here = blends if len(number) == len(blends) else blends[number]
        value, slope = _distance(np.einsum("nms,ns->nm", here, x), wanted[number], distance, delta)
        return value, np.einsum("nms,nm->ns", here, slope)

    optimum, _ = simplex.minimise(each, len(blends), low, high, DISTANCE_GAP)
    label = {"source": names}
    like = matrix.isel(meta_domain=0, drop=True).assign_coords(label)
    return Censored(
        "alignment",
        like.copy(data=optimum.reshape(like.shape)),
        "1",
        "domain vectors",
        {"distance": distance, "delta": delta, **given(at_most=at_most, at_least=at_least)},
        _note(blends.mean(0)),
        low=xr.DataArray(low, dims="source", coords=label),
        high=xr.DataArray(high, dims="source", coords=label),
    )


def _distance(v: np.ndarray, q: np.ndarray, distance: str, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of vectors (last axis) and their slopes in `v`."""
    if distance == "huber":
        miss = v - q
        inner = np.clip(miss, -delta, delta)
        return (inner * (miss - inner / 2)).sum(-1), inner
    middle = (v + q) / 2 + SMALLEST_ENTRY
    ratio_v, ratio_q = (np.log((x + SMALLEST_ENTRY) / middle) for x in (v, q))
    return (v * ratio_v + q * ratio_q).sum(-1) / 2, ratio_v / 2


def _note(vectors: np.ndarray) -> str:
    """Return a sentence if several mixtures have the same blend."""
    size = np.linalg.svd(vectors, compute_uv=False)
    free = vectors.shape[1] - int((size > ZERO_SINGULAR * size[0]).sum())
    if not free:
        return ""
    change = f"{counted(free, 'direction')} change{'s' * (free == 1)}"
    return f"{change} the mixture and not its blend: the optimum is one of many"
