"""Learnability of domains, by a law with features of domains, and how far the data informed it.

Source: Que et al. 2024, arXiv:2406.01375, section 5 and appendix H.
"""

import html
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models
from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.numbers import short, with_interval
from bayeslaw.declare.calls import call_with
from bayeslaw.declare.priors import central
from bayeslaw.errors import LawError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.posterior.sensitivity import contraction, in_prior_units

__all__ = ["Learnability", "learnability"]

DIRECTION = "a larger K means a lower loss, so K says how easily a domain is learned"

LITTLE_LEARNED, MOSTLY_LEARNED = 0.2, 0.8
"""Contractions below which the data hardly inform a coefficient, and from which they determine it."""


@dataclass(frozen=True, eq=False, repr=False)
class Learnability:
    """The learnability of domains, in numbers and in words.

    Attributes
    ----------
    K : Quantity
        Learnability (1 at the reference of the features), dims ``eval`` and ``domain``.
    part : Quantity
        The domain's part of the floor (nats), through which the losses inform K.
    moved : pandas.DataFrame
        One row per coefficient of K or its part, and validation set: ``prior`` and ``posterior`` median with the ends
        of their intervals, ``contraction`` (1 minus the ratio of posterior to prior variance; on the log scale where
        positive) and ``verdict``, in words.
    """

    K: Quantity
    part: Quantity
    moved: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return one row per validation set and domain: K and its part of the floor, easiest domain first."""
        tables = [q.to_frame().set_index(["eval", "domain"]).add_prefix(f"{q.name}_") for q in (self.K, self.part)]
        keep = [f"{q.name}_{c}" for q in (self.K, self.part) for c in ("median", "lower", "upper")]
        table = pd.concat(tables, axis=1)[keep].reset_index()
        return table.sort_values(["eval", "K_median"], ascending=[True, False], ignore_index=True)

    def domains(self) -> list[str]:
        """Return the direction of K, and the easiest and hardest domains, in words."""
        lines = [f"{DIRECTION[0].upper()}{DIRECTION[1:]}."]
        for name, rows in self.to_frame().groupby("eval", sort=False):
            first, last = rows.iloc[0], rows.iloc[-1]
            lines.append(
                f"On the {name} loss {first['domain']} is learned most easily ({_ends(first, 'K')}; part of the floor "
                f"{_ends(first, 'part')} nats) and {last['domain']} least ({_ends(last, 'K')}; {_ends(last, 'part')} "
                "nats)."
            )
        return lines

    def text(self) -> str:
        """Return the same, and how far the data informed the coefficients of K."""
        lines = self.domains()
        for row in self.moved.to_dict("records"):
            lines.append(
                f"Of {row['coefficient']} ({row['eval']} loss): prior {row['prior']}, posterior {row['posterior']}; "
                f"{row['verdict']}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        text = "</p><p>".join(html.escape(line) for line in self.text().splitlines())
        return f"<p>{text}</p>{self.to_frame().to_html(border=0, index=False, float_format=short)}"


@checked
def learnability(fit: Posterior) -> Learnability:
    """Return the learnability K of every domain by a law with features of domains, and what the data say of it.

    Parameters
    ----------
    fit : Fit
        The posterior of a law with a `learnability` and of runs with a ``domain``.

    Returns
    -------
    Learnability

    Raises
    ------
    LawError
        The law has no learnability, or the runs no domains.
    """
    law, design = fit.model.law, fit.model.design
    if law.learnability is None:
        known = models.such_as(lambda law: law.learnability is not None)
        raise LawError(f"{law.name} has no learnability of domains: fit a law that has, such as {known}")
    if "domain" not in design.rows:
        raise LawError("the runs have no domains: map the column 'domain'")
    names = list(dict.fromkeys(design.rows["domain"].values.tolist()))
    features = [c for c, covariate in law.covariates.items() if covariate.of == "domain"]
    columns = fit.columns(
        **{c: design.rows[c].values[0].item() for c in law.columns if c not in features}, domain=names
    )
    inputs = law.inputs(design.with_evals(columns), fit.model.reference)
    found = call_with(law.learnability, inputs, fit.coefficients(columns))
    K, part = (v.transpose(*SAMPLE, "eval", "domain") for v in xr.broadcast(found["K"], found["part"]))
    about: dict[str, Any] = {"what": "mean law", "inputs": {"domain": names}}
    made_of = [p.name for p in signature(law.learnability).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return Learnability(
        Quantity("K", K, "1", remark=DIRECTION, **about),
        Quantity("part", part, "nats", remark="the domain's part of the floor", **about),
        pd.DataFrame([row for name in made_of for row in _moved(fit, name)]),
    )


def _moved(fit: Posterior, name: str) -> list[dict[str, Any]]:
    """Return prior and posterior, a row per validation set; none for grouped coefficients and nested priors."""
    draws = fit.posterior[name]
    before = central(fit.model.coefficients[name].prior, CI_PROB)
    if before is None or set(draws.dims) != {*SAMPLE, "eval"}:
        return []
    rows = []
    for e in fit.evals:
        learned = float(contraction(in_prior_units(fit)[name].sel(eval=e)))
        after = np.quantile(draws.sel(eval=e), [0.5, *levels(CI_PROB)])
        shown = {"prior": with_interval(*before), "posterior": with_interval(*after)}
        rows.append({"coefficient": name, "eval": e, **shown, "contraction": learned, "verdict": _verdict(learned)})
    return rows


def _verdict(contraction: float) -> str:
    if contraction < LITTLE_LEARNED:
        return "the data inform it little"
    return "the data inform it in part" if contraction < MOSTLY_LEARNED else "the data determine it"


def _ends(row: "pd.Series[Any]", name: str) -> str:
    shown = with_interval(*(row[f"{name}_{c}"] for c in ("median", "lower", "upper")))
    return f"K {shown}" if name == "K" else shown
