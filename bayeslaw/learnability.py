"""How easily each domain is learned, by the cross-domain D-CPT law, and how much of that the data said.

Source: Que et al. 2024, arXiv:2406.01375, section 5 and appendix H.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayeslaw.errors import LawError
from bayeslaw.priors import Prior
from bayeslaw.quantity import CI_PROB, SAMPLE, Quantity

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["Learnability", "learnability"]

DIRECTION = "a larger K means a lower loss, so K says how easily a domain is learned"
PART, EXPONENT = "F", "mu"

HARDLY, MOSTLY = 0.2, 0.8
"""Shares of the prior's variance that the data took away below and above which words say so."""


@dataclass(frozen=True, eq=False, repr=False)
class Learnability:
    """The learnability of domains, in numbers and in words.

    Attributes
    ----------
    K : Quantity
        Learnability (1 at the reference of the features), dims ``eval`` and ``domain``.
    part : Quantity
        The domain's part of the floor, F K^-mu (nats): what the losses can tell of K.
    moved : pandas.DataFrame
        One row per coefficient that K or its part is made of, and validation set: ``prior`` and ``posterior`` median
        with the ends of their intervals, ``contraction`` (1 minus the ratio of posterior to prior variance; on the log
        scale where positive) and what that means, in words.
    """

    K: Quantity
    part: Quantity
    moved: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return one row per validation set and domain: K and its part of the floor, easiest domain first."""
        tables = [q.frame().set_index(["eval", "domain"]).add_prefix(f"{q.name}_") for q in (self.K, self.part)]
        keep = [f"{q.name}_{c}" for q in (self.K, self.part) for c in ("median", "lower", "upper")]
        table = pd.concat(tables, axis=1)[keep].reset_index()
        return table.sort_values(["eval", "K_median"], ascending=[True, False], ignore_index=True)

    def text(self) -> str:
        """Return the direction of K, the easiest and the hardest domain, and how far the data moved mu and weights."""
        lines = [f"{DIRECTION[0].upper()}{DIRECTION[1:]}."]
        for name, rows in self.frame().groupby("eval", sort=False):
            first, last = rows.iloc[0], rows.iloc[-1]
            lines.append(
                f"On the {name} loss {first['domain']} is learned most easily ({_ends(first, 'K')}; part of the floor "
                f"{_ends(first, 'part')} nats) and {last['domain']} least ({_ends(last, 'K')}; {_ends(last, 'part')} "
                "nats)."
            )
        for row in self.moved.to_dict("records"):
            lines.append(
                f"{row['coefficient']} ({row['eval']}): prior {row['prior']}, posterior {row['posterior']}; the data "
                f"took {max(row['contraction'], 0):.0%} of the prior's variance: {row['verdict']}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.text()


def learnability(fit: "Fit") -> Learnability:
    """Return K of every domain of a cross-domain D-CPT fit, with its direction, and what the data said on it.

    Parameters
    ----------
    fit : Fit
        Of one of the cross-domain laws, to a table with a ``domain`` column.

    Returns
    -------
    Learnability

    Raises
    ------
    LawError
        The law has no learnability, or the table names no domains.
    """
    law, design = fit.model.law, fit.model.design
    features = [c for c, covariate in law.covariates.items() if covariate.of == "domain"]
    if not features or not {PART, EXPONENT} <= set(law.coefficients):
        raise LawError(f"{law.name} knows no learnability of domains: fit cross_domain_dcpt or one of its kin")
    if "domain" not in design.rows:
        raise LawError("the runs name no domains, whose learnability could be told: map the column 'domain'")
    names = list(dict.fromkeys(design.rows["domain"].values.tolist()))
    at = {c: design.rows[c].values[0].item() for c in law.columns if c not in features}
    columns = fit.columns(**at, domain=names)
    nothing = fit.idata.copy()
    nothing["posterior"] = xr.DataTree(fit.posterior.assign({PART: 0.0 * fit.posterior[PART]}))
    part = fit.loss(columns) - replace(fit, idata=nothing).loss(columns)
    K = (part / fit.posterior[PART]) ** (-1 / fit.posterior[EXPONENT])
    about: dict[str, Any] = {"what": "mean law", "inputs": {"domain": names}}
    order = ("chain", "draw", "eval", "domain")
    weights = [c for c in law.coefficients if c not in (PART, EXPONENT) and _of_share(fit, c)]
    return Learnability(
        Quantity("K", K.transpose(*order), "1", note=DIRECTION, **about),
        Quantity("part", part.transpose(*order), "nats", note="F K^-mu, the domain's part of the floor", **about),
        pd.DataFrame([row for name in (EXPONENT, *weights, PART) for row in _moved(fit, name)]),
    )


def _of_share(fit: "Fit", name: str) -> bool:
    """Whether a coefficient is a weight of the features: a share, as no other of the law is."""
    return bool(fit.model.law.coefficients[name].prior.distribution == "Beta")


def _moved(fit: "Fit", name: str) -> list[dict[str, Any]]:
    """Return prior beside posterior, one row per validation set; none for a prior that is neither of the cards' two."""
    prior = fit.model.coefficient_priors[name]
    stated = cast(Mapping[str, float], prior.parameters)
    levels = [0.5, (1 - CI_PROB) / 2, (1 + CI_PROB) / 2]
    draws = fit.posterior[name]
    if any(isinstance(p, Prior) for p in prior.parameters.values()):
        return []
    if prior.distribution == "LogNormal":
        before = np.exp(stated["mu"] + stated["sigma"] * stats.norm.ppf(levels))
        left = xr.ufuncs.log(draws).var(SAMPLE) / stated["sigma"] ** 2
    elif prior.distribution == "Beta":
        beta = stats.beta(stated["alpha"], stated["beta"])
        before, left = beta.ppf(levels), draws.var(SAMPLE) / beta.var()
    else:
        return []
    return [
        {
            "coefficient": name,
            "eval": e,
            "prior": _words(*before),
            "posterior": _words(*np.quantile(draws.sel(eval=e), levels)),
            "contraction": 1 - float(left.sel(eval=e)),
            "verdict": _verdict(1 - float(left.sel(eval=e))),
        }
        for e in fit.evals
    ]


def _verdict(contraction: float) -> str:
    if contraction < HARDLY:
        return "the data say hardly anything on it"
    return "the data say something on it" if contraction < MOSTLY else "the data told it"


def _words(median: float, lower: float, upper: float) -> str:
    return f"{median:.2f} [{lower:.2f}, {upper:.2f}]"


def _ends(row: "pd.Series[Any]", name: str) -> str:
    shown = _words(*(row[f"{name}_{c}"] for c in ("median", "lower", "upper")))
    return f"K {shown}" if name == "K" else shown
