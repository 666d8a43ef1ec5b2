"""What a page needs to compute by itself: draws, columns, runs, baselines and errors, as JSON."""

import base64
import re
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.base.words import COUNTED_COLUMNS
from bayeslaw.decisions.baseline import NOT_LABELS, Baseline, baseline_of
from bayeslaw.decisions.critical_ratio import BASELINES, TOKEN_STEP, bends
from bayeslaw.decisions.question import LINE_POINTS, of_largest_run
from bayeslaw.declare.laws import Covariate
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import DataError
from bayeslaw.explore.formulas import formula_of, range_of
from bayeslaw.posterior.cautions import ONLY_UPWARD, verified
from bayeslaw.posterior.draws import LARGEST, POSSIBLE, UNSEEN, Posterior
from bayeslaw.posterior.prediction import thinned
from bayeslaw.spec.misfit import SCALES

__all__ = ["contents", "formulas", "travelling"]

MOST_NUMBERS = 300_000
"""Numbers of all draws together that a page holds, 3.2 MB; beyond that it has fewer draws."""

LEAST_DRAWS = 50

MOST_POINTS = 3000
"""Measurements that a page shows; of more, evenly spaced ones."""

LOG_RATIO = 30.0
"""A slider is logarithmic if the ratio of its levels is larger."""

MOST_MARKS = 24
"""Levels up to which a slider has a mark at each."""

CALLED = {
    "N": "model size N",
    "D": "tokens D",
    "U": "unique tokens U",
    "domain_share": "domain share",
    "duration": "upsampled window",
}


def travelling(fit: Posterior, draws: int) -> Posterior:
    """Return the fit with the draws that a page holds: that many, or fewer where each has many numbers."""
    design = fit.model.design
    weights = sum(len(process) for process in fit.processes.values())
    sizes = [fit.posterior[name].isel({d: 0 for d in SAMPLE}).size for name in fit.model.law.coefficients]
    each = sum(sizes) + weights * len(design.evals)
    return thinned(fit, min(draws, max(MOST_NUMBERS // each, LEAST_DRAWS)))


def formulas(fit: Posterior) -> dict[str, dict[str, str]]:
    """Return loss and range of every role as text."""
    model, sources = fit.model, fit.model.design.over.get("source", ())
    return {
        role: {
            "loss": formula_of(model.law, dict(model.reference), role, len(sources)),
            "inside": "1" if model.outside == "include" else range_of(model.law, role, len(sources)),
        }
        for role in dict.fromkeys(model.design.roles)
    }


def contents(fit: Posterior) -> dict[str, Any]:
    """Return the data of the page of a fit, with all of its draws."""
    law, design = fit.model.law, fit.model.design
    labels = _labels(fit)
    return {
        "prob": CI_PROB,
        "draws": fit.draws,
        "of": "prior" if fit.method == "prior" else "posterior",
        "unit": "error rate" if law.of_scores else "nats per token",
        "evals": [{"name": e, "role": role} for e, role in zip(design.evals, design.roles, strict=True)],
        "columns": _columns(fit, list(labels)),
        "axis": next((c for c in ("domain_share", "duration", WEIGHT, law.path) if c in law.columns), law.columns[0]),
        "sources": [{"name": str(s), "start": w} for s, w in _start(fit).get(WEIGHT, {}).items()],
        "groups": [{"name": d, "labels": [str(x) for x in values]} for d, values in labels.items()],
        "features": _features(fit),
        "coefficients": _coefficients(fit, labels),
        "processes": _processes(fit),
        "errors": _errors(fit),
        "points": _points(fit, labels),
        "limit": _limit(fit, labels),
    }


def _written(values: Any) -> str:
    """Return numbers as text: their 64 bits, so that the page has them exactly."""
    return base64.b64encode(np.ascontiguousarray(values, "<f8").tobytes()).decode()


def _single(fit: Posterior) -> list[str]:
    return [c for c in fit.model.law.columns if c != WEIGHT]


def _start(fit: Posterior) -> dict[str, Any]:
    """Return the columns of the largest run; its share of the domain is a middle one."""
    at = of_largest_run(fit)
    if WEIGHT in at:
        at[WEIGHT] = dict(zip(fit.model.design.over["source"].tolist(), at[WEIGHT].values.tolist(), strict=True))
    if "domain_share" in (levels := fit.model.design.levels):
        at["domain_share"] = levels["domain_share"][len(levels["domain_share"]) // 2]
    return at


def _labels(fit: Posterior) -> dict[str, list[Any]]:
    """Return the labels that can be chosen, by dim; a new one where every coefficient that has them is pooled."""
    design, law = fit.model.design, fit.model.law
    found = {}
    for dim, known in design.groups.items():
        varying = [c for c in law.coefficients if dim in fit.posterior[c].dims]
        pooled = all(fit.model.by.get(c) == dim and f"{c}_mu" in fit.posterior for c in varying)
        found[dim] = known.tolist()
        if pooled and dim not in law.columns and known.dtype.kind != "b":
            found[dim] = [*map(str, found[dim]), UNSEEN]
    return found


def _columns(fit: Posterior, groups: list[str]) -> list[dict[str, Any]]:
    """Return name, slider, start and measured levels of every column but the shares of a mixture."""
    law, design, start = fit.model.law, fit.model.design, _start(fit)
    features = {c: cov.of for c, cov in law.covariates.items() if cov.of}
    found = []
    for name in _single(fit):
        levels = design.levels[name]
        covariate = law.covariates.get(name)
        own = covariate.valid if covariate is not None and covariate.derive is None else (-np.inf, np.inf)
        low, high, log = _ends(name, levels)
        possible = POSSIBLE.get(name, own)
        value = float(start[name]) if name in start else float(design.rows[name].values[-1])
        found.append(
            {
                "name": name,
                "label": CALLED.get(name) or _called(name, covariate),
                "low": max(low, own[0], possible[0]),
                "high": min(high, own[1], possible[1]),
                "log": log,
                "ends": [_finite(max(own[0], possible[0])), _finite(min(own[1], possible[1]))],
                "start": value,
                "measured": [float(levels.min()), float(levels.max())],
                "levels": levels.tolist() if len(levels) <= MOST_MARKS or name in groups else [],
                "group": groups.index(name) if name in groups else None,
                "counted": name in COUNTED_COLUMNS,
                "upward": name in ONLY_UPWARD,
                "verified": verified(name, name in fit.processes),
                "of": features.get(name),
            }
        )
    return found


def _called(name: str, covariate: Covariate | None) -> str:
    """Return a name and the beginning of what it means."""
    return name if covariate is None else f"{name}: {re.split('[:,;(] | [(]', covariate.meaning)[0]}"


def _finite(end: float) -> float:
    """Return an end of a range as a number that JSON has."""
    return float(np.clip(end, -LARGEST, LARGEST))


def _ends(name: str, levels: np.ndarray) -> tuple[float, float, bool]:
    """Return the ends of a slider, beyond the levels on both sides, and whether it is logarithmic."""
    low, high = float(levels.min()), float(levels.max())
    if name in ("domain_share", "duration"):
        return 0.0, 1.0, False
    if low > 0 and (name in COUNTED_COLUMNS or high / low > LOG_RATIO):
        return low / 2, high * (10 if name in COUNTED_COLUMNS else 2), True
    room = 0.25 * (high - low or abs(high) or 1.0)
    return (low if low == 0 else low - room), high + room, False


def _features(fit: Posterior) -> dict[str, dict[str, dict[str, float]]]:
    """Return the values of features by the label that has them, as ``{domain: {code: {k1: 2.0}}}``."""
    design = fit.model.design
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, covariate in fit.model.law.covariates.items():
        if covariate.of and covariate.of in design.rows:
            values = pd.Series(design.rows[name].values, design.rows[covariate.of].values).groupby(level=0).first()
            for label, value in values.items():
                found.setdefault(covariate.of, {}).setdefault(str(label), {})[name] = float(value)
    return found


def _coefficients(fit: Posterior, labels: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the draws of every coefficient, by the labels of its groups, validation set, draw and source."""
    at = xr.Dataset({dim: xr.DataArray(np.array(values), dims=dim) for dim, values in labels.items()})
    like = xr.zeros_like(fit.posterior["sigma"]).reset_coords(drop=True).drop_vars(SAMPLE, errors="ignore")
    found = []
    for values in fit.coefficients(at).values():
        own = [d for d in labels if d in values.dims]
        over = [d for d in fit.model.law.over if d in values.dims]
        full = values.drop_vars([*SAMPLE, *own], errors="ignore") + like
        ordered = full.transpose(*own, "eval", *SAMPLE, *over)
        groups = [list(labels).index(d) for d in own]
        found.append({"groups": groups, "size": ordered.sizes[over[0]] if over else 1, "values": _written(ordered)})
    return found


def _processes(fit: Posterior) -> list[dict[str, Any]]:
    """Return the basis functions of every process of a misfit, and its weights by validation set and draw."""
    found, places = [], {c: i for i, c in enumerate(_single(fit))}
    for process in fit.processes.values():
        weights = fit.posterior[process.weights] * fit.posterior[process.slope]
        factors = []
        for factor in process.factors:
            knots, of_knots, of_powers = factor.features
            factors.append(
                {
                    "column": places[factor.column],
                    "unit": factor.unit,
                    "log": SCALES[factor.column].log,
                    "length": SCALES[factor.column].length,
                    "variance": factor.variance,
                    "middle": float(factor.levels.mean()),
                    "functions": len(of_knots),
                    "knots": _written(knots),
                    "of_knots": _written(of_knots),
                    "of_powers": _written(of_powers),
                }
            )
        values = weights.transpose("eval", *SAMPLE, process.dim)
        found.append({"factors": factors, "order": process.order.tolist(), "weights": _written(values)})
    return found


def _errors(fit: Posterior) -> dict[str, Any]:
    """Return the error of one new run by validation set and draw, and how it depends on the model size."""
    errors: dict[str, Any] = {"values": _written(fit.error().transpose("eval", *SAMPLE)), "exponent": None}
    if fit.noise.size_exponent is not None:
        exponent = fit.posterior["size_exponent"].broadcast_like(fit.posterior["sigma"].isel(eval=0, drop=True))
        errors["exponent"] = _written(exponent.transpose(*SAMPLE))
        errors["reference"] = fit.model.reference.get("N", 1e9)
    return errors


def _points(fit: Posterior, labels: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the measured losses, with the columns and labels of their runs, and whether the fit used them."""
    design = fit.model.design
    rows = np.unique(np.linspace(0, design.rows.sizes["row"] - 1, MOST_POINTS).astype(int))
    some, used = design.rows.isel(row=rows), design.measured.isel(row=rows)
    shares = some[WEIGHT].transpose("source", "row").values.tolist() if WEIGHT in some else []
    features = [name for name in _features(fit) if name not in labels]
    loss = some["loss"].transpose("eval", "row").values
    return {
        "run": [str(run) for run in some["run"].values],
        "x": [*(some[c].values.astype(float).tolist() for c in _single(fit)), *shares],
        "labels": [[str(x) for x in some[d].values.tolist()] for d in labels],
        "of": {name: [str(x) for x in some[name].values] for name in features},
        "losses": [[None if np.isnan(x) else x for x in own] for own in loss.tolist()],
        "used": used.transpose("eval", "row").values.astype(int).tolist(),
        "total": design.rows.sizes["row"],
    }


def _limit(fit: Posterior, labels: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    """Return what the critical ratio needs; None for a fit that it cannot be asked of."""
    law, design = fit.model.law, fit.model.design
    sets = [e for e, role in zip(design.evals, design.roles, strict=True) if role != "domain"]
    if "domain_share" not in law.columns or "domain_share" in design.groups or not sets:
        return None
    return {
        "evals": [design.evals.index(e) for e in sets],
        "points": LINE_POINTS,
        "bends": bends(law),
        "token_step": TOKEN_STEP,
        "baselines": [one for e in sets for one in _baselines(fit, labels, e)],
    }


def _baselines(fit: Posterior, labels: Mapping[str, list[Any]], eval: str) -> list[dict[str, Any]]:
    """Return the losses before training of one validation set, with the sizes and labels that they belong to."""
    rows, design = fit.model.runs.baseline, fit.model.design
    features = {covariate.of for covariate in fit.model.law.covariates.values() if covariate.of}
    keys = [c for c in ("N", *labels, *features) if c in rows and c not in NOT_LABELS]
    keys = [c for c in dict.fromkeys(keys) if c in labels or c in features or c in fit.model.law.columns]
    like = xr.zeros_like(fit.posterior["sigma"]).isel(eval=0, drop=True)
    number = design.of_role(design.roles[design.evals.index(eval)]).index(eval)
    places: list[dict[Hashable, Any]] = rows[keys].drop_duplicates().to_dict("records") if keys else [{}]
    found = []
    for place in places if len(rows) else []:
        columns = xr.Dataset({str(k): xr.DataArray(v) for k, v in place.items()})
        try:
            before = baseline_of(fit, None, columns, eval)
        except DataError:  # this loss was not measured there
            continue
        unit = Baseline(xr.DataArray(0.0), xr.DataArray(1.0), {}, before.freedom)
        sd = float(before.sd)
        found.append(
            {
                "eval": design.evals.index(eval),
                "at": {str(k): v if isinstance(v, float | int) else str(v) for k, v in place.items()},
                "mean": float(before.mean),
                "sd": sd,
                "errors": _written(unit.draws(like, 0, BASELINES, number)) if sd else None,
            }
        )
    return found
