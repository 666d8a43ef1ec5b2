"""Populations of coefficients: what other lineages teach, and that the one predicted teaches nothing."""

import numpy as np
import pytest

from tests.studies import experience


@pytest.fixture
def known(monkeypatch):
    """Whole tables whose coefficients are known well: those of ends lie a factor of 2 above, one far above."""
    places = {"chinchilla_epoch": 0.7, "datablations": 0.7, "olmo_ladder": 1.5}
    rng = np.random.default_rng(1)

    def shifts(name):
        return {k: places.get(name, 0.0) + 0.05 * rng.standard_normal(400) for k in experience.CARD}

    monkeypatch.setattr(experience, "shifts", shifts)
    experience.population.cache_clear()
    yield
    experience.population.cache_clear()


def test_kinds_of_tokens_are_kept_apart(known):
    along, spread, lineages = experience.population("E", "curves", None)
    at_ends, *_ = experience.population("E", "ends", None)
    assert lineages == 5 and spread < 0.35
    assert along == pytest.approx(experience.CARD["E"], rel=0.1)
    assert at_ends / along > 1.7


def test_the_family_that_is_predicted_teaches_nothing(known):
    with_it, wide, _ = experience.population("E", "ends", None)
    without, narrow, lineages = experience.population("E", "ends", "olmo")
    assert lineages == 2
    assert without == pytest.approx(experience.CARD["E"] * np.exp(0.7), rel=0.25) and without < with_it
    assert narrow < wide


def test_experience_has_to_win_everywhere():
    import pandas as pd

    rows = [
        {"fitted": f, "model": m, "priors": p, "rms error": e, "coverage": c}
        for f, m, p, e, c in [
            ("one size", "law alone", "default", 5.0, 0.5),
            ("one size", "law alone", "experience", 4.0, 0.7),
            ("two sizes", "law alone", "default", 5.0, 0.9),
            ("two sizes", "law alone", "experience", 4.0, 1.0),
        ]
    ]
    table = pd.DataFrame(rows).set_index(["fitted", "model", "priors"])
    assert experience.verdict(table.loc[["one size"]])[0]
    beats, words = experience.verdict(table)
    assert not beats and "two sizes, law alone: median error 5.00 % by default, 4.00 % with experience (less)" in words
    assert "(not nearer to 0.89)" in words
