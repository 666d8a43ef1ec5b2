"""The terms of a law are found where its card says nothing: those that the cards of the catalogue state."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from bayeslaw.declare.terms import terms

PLAIN = [law for law in models.catalogue.values() if not law.over]
D, N = models.chinchilla.covariates["D"], models.chinchilla.covariates["N"]
SHARE = models.dcpt.covariates["share"]


def stated(law: Law) -> dict[str, str]:
    return {name: c.seen_along for name, c in law.coefficients.items() if c.seen_along}


def silent(law: Law) -> Law:
    """The law, its card without a word on its terms."""
    return replace(law, coefficients={k: replace(c, seen_along=None) for k, c in law.coefficients.items()})


def found(law: Law) -> dict[str, str]:
    return terms(silent(law), {name: c.prior for name, c in law.coefficients.items()})


def own(function: Any, covariates: Any, **priors: bl.Prior) -> Law:
    coefficients = {k: bl.Coefficient(prior, "1", "a coefficient", "a test") for k, prior in priors.items()}
    card = {"title": "A law of one's own", "source": "none", "equation": "L", "covariates": covariates}
    return bl.law(**card, coefficients=coefficients)(function)


@pytest.mark.parametrize("law", PLAIN, ids=lambda law: law.name)
def test_what_is_found_never_contradicts_a_card(law):
    """A floor that is multiplied (BiMix) is found to fall along its factor, and stated as the level that it is."""
    card, by_itself = stated(law), found(law)
    assert all(card[k] in (along, "level") for k, along in by_itself.items() if k in card)
    if card:
        assert terms(law, {}) == card, "a card that states a term states all"
    else:
        assert by_itself == {}


def test_nearly_all_that_the_cards_state_is_found():
    """Not found: what the prior lets rise, and two terms of the CPT dynamics that share a shift."""
    names = [(law.name, name) for law in PLAIN for name in stated(law)]
    missed = {(law.name, name) for law in PLAIN for name in stated(law).keys() - found(law).keys()}
    assert len(missed) < 0.12 * len(names)
    assert not {name for name, _ in missed} & {"chinchilla", "dcpt", "cmr_domain", "lr_annealing", "dcpt_l7"}


def test_a_term_without_a_sure_fall_is_left_alone():
    def rises(d, /, *, E, B, beta):
        return E + B * d**beta

    def either_way(d, /, *, E, B, beta):
        return E + B * d**-beta

    def products(d, /, *, A, B, beta):
        return A * B * d**-beta

    def a_root(d, /, *, E, B, beta):
        return E + B**0.5 * d**-beta

    sure, unsure, E, B = bl.positive(0.3, spread=0.3), bl.real(0.3, sd=0.1), bl.positive(2, 0.3), bl.positive(0.5, 0.5)
    assert found(own(rises, {"d": D}, E=E, B=B, beta=sure)) == {"E": "level"}
    assert found(own(either_way, {"d": D}, E=E, B=B, beta=unsure)) == {"E": "level"}
    assert found(own(either_way, {"d": D}, E=E, B=B, beta=sure)) == {"E": "level", "B": "d"}
    assert found(own(a_root, {"d": D}, E=E, B=B, beta=sure)) == {"E": "level"}
    assert len(found(own(products, {"d": D}, A=E, B=B, beta=sure))) == 1


def test_a_prior_of_the_study_counts_and_not_the_cards():
    runs = bl.read_runs(table())
    law = silent(models.chinchilla)
    assert bl.Model(law, runs).terms == stated(models.chinchilla)
    assert bl.Model(law, runs, priors={"beta": bl.real(0.3, sd=0.2)}).terms == {"E": "level", "A": "N"}


def table() -> pd.DataFrame:
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], np.geomspace(1e9, 1e11, 5)], names=["N", "D"])
    t = rows.to_frame(index=False)
    law = models.chinchilla(t["N"] / 1e9, t["D"] / 1e10, E=1.8, A=0.35, alpha=0.35, B=0.4, beta=0.37)
    return t.assign(run=t.index.astype(str), loss=law * np.exp(np.random.default_rng(0).normal(0, 0.003, len(t))))


def test_a_law_of_ones_own_is_sampled_like_that_of_the_catalogue():
    """Without its terms the smallest effective number of draws was 5 of 600."""
    draws = [
        bl.Model(law, bl.read_runs(table())).fit(draws=30, tune=60, chains=1, seed=1, progress=False).posterior
        for law in (models.chinchilla, silent(models.chinchilla))
    ]
    for name in draws[0]:
        np.testing.assert_array_equal(draws[0][name], draws[1][name])
