"""From texts to domain vectors: documents of four kinds made by tests/texts.py."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import adjusted_rand_score

from bayeslaw.decisions import alignment, domain_vectors
from bayeslaw.errors import DataError, MissingExtra, RangeError
from bayeslaw.tables.meta_domains import Classifier, MetaDomains, expected_counts, find_meta_domains
from bayeslaw.tables.mixtures import blend
from tests.texts import TEMPLATES, documents

EVENLY = dict.fromkeys(TEMPLATES, 0.25)


@pytest.fixture(scope="module")
def found() -> MetaDomains:
    return find_meta_domains(documents(EVENLY, 400, seed=1)[0], 4)


@pytest.fixture(scope="module")
def doubtful() -> MetaDomains:
    return find_meta_domains(documents(EVENLY, 1500, seed=1, stray=0.6)[0], 4)


class ByBrackets:
    """A classifier of one's own: logits from how often a text has a bracket."""

    def meta_domains(self) -> list[str]:
        return ["prose", "code"]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        logits = np.array([[0.0, 2.0 * text.count("(") - 1.0] for text in texts])
        return softmax(logits, axis=1)


def of_kinds(classifier: Classifier) -> dict[str, str]:
    """The meta-domain that most documents of every kind are put into."""
    counts = expected_counts({kind: documents({kind: 1.0}, 50, seed=2)[0] for kind in TEMPLATES}, classifier)
    return {str(kind): str(name) for kind, name in counts.idxmax().items()}


# ------------------------------------------------------------------------------------------------------- meta-domains
def test_kinds_of_new_documents_are_found_again(found):
    texts, kinds = documents(EVENLY, 400, seed=3)
    assert adjusted_rand_score(kinds, found.probabilities(texts).argmax(axis=1)) > 0.98
    names = of_kinds(found)
    assert sorted(names.values()) == sorted(found.meta_domains())
    assert "clause" in names["contract"] or "agreement" in names["contract"]


def test_probabilities_hold_on_documents_that_were_held_out(doubtful):
    table = doubtful.reliability
    assert table["documents"].sum() == 300
    assert table.loc[table.index < 0.9, "documents"].sum() > 20, "too few doubtful documents to say anything"
    assert doubtful.calibration_error < 0.04
    chance = np.sqrt(table["probability"] * (1 - table["probability"]) / table["documents"])
    assert (abs(table["right"] - table["probability"]) < 4 * chance).all()


def test_probabilities_that_do_not_hold_are_shown_as_such(doubtful):
    table = pd.DataFrame({"probability": [0.55, 0.95], "right": [0.5, 0.75], "documents": [1, 3]}, index=[0.5, 0.9])
    assert replace(doubtful, reliability=table).calibration_error == pytest.approx((0.05 + 3 * 0.2) / 4)


def test_the_same_seed_gives_the_same_result(found):
    texts, _ = documents(EVENLY, 400, seed=1)
    again = find_meta_domains(iter(texts), 4)
    assert again.meta_domains() == found.meta_domains()
    np.testing.assert_allclose(again.probabilities(texts), found.probabilities(texts), atol=1e-9)
    pd.testing.assert_frame_equal(again.reliability, found.reliability)


# ------------------------------------------------------------------------------------------------------------ vectors
def test_intervals_of_a_blend_of_two_kinds_hold_what_they_say(found):
    """100 sources of 200 documents, 30 % recipes and 70 % code; 89 % intervals."""
    texts = {str(i): documents({"recipe": 0.3, "code": 0.7}, 200, seed=100 + i)[0] for i in range(100)}
    share = domain_vectors(expected_counts(texts, found)).sel(meta_domain=of_kinds(found)["recipe"])
    low, high = share.quantile([0.055, 0.945], ["chain", "draw"])
    assert 0.82 <= float(((low <= 0.3) & (high >= 0.3)).mean()) <= 0.96
    assert float(share.mean()) == pytest.approx(0.3, abs=0.01)


def test_intervals_are_wide_enough_where_a_classifier_is_often_in_doubt():
    """The truth is the mean of the probabilities over all documents; means scatter less than shares of labels."""
    every = documents(EVENLY, 10_000, seed=5)[0]
    probabilities = ByBrackets().probabilities(every)[:, 0]
    texts = {str(i): every[200 * i : 200 * (i + 1)] for i in range(50)}
    share = domain_vectors(expected_counts(texts, ByBrackets())).sel(meta_domain="prose")
    assert float(share.std(["chain", "draw"]).mean()) > 1.1 * probabilities.std() / np.sqrt(200)
    low, high = share.quantile([0.055, 0.945], ["chain", "draw"])
    assert float(((low <= probabilities.mean()) & (high >= probabilities.mean())).mean()) > 0.89


def test_a_blend_of_sources_has_the_blend_of_their_vectors_even_where_the_classifier_errs():
    cooks, coders = documents({"recipe": 1.0}, 300, seed=6)[0], documents({"code": 1.0}, 700, seed=7)[0]
    counts = expected_counts({"cooks": cooks, "coders": coders, "both": cooks + coders}, ByBrackets())
    vectors = counts / counts.sum()
    np.testing.assert_allclose(vectors["both"], 0.3 * vectors["cooks"] + 0.7 * vectors["coders"])
    np.testing.assert_allclose(counts.sum(), [300, 700, 1000])
    np.testing.assert_allclose(vectors["cooks"], ByBrackets().probabilities(cooks).mean(axis=0))
    assert list(blend(vectors)["meta_domain"].values) == ["prose", "code"]


SOURCES = {
    "web": {"recipe": 0.5, "football": 0.4, "contract": 0.1},
    "forge": {"code": 0.85, "contract": 0.15},
    "office": {"contract": 0.7, "football": 0.2, "code": 0.1},
}


def test_a_planted_mixture_of_sources_is_found_from_texts_alone(found):
    """30 simulations of 400 documents a source and as many of the mixture; 89 % intervals of three shares."""
    planted = {"web": 0.5, "forge": 0.2, "office": 0.3}
    goal = {k: sum(planted[s] * SOURCES[s].get(k, 0.0) for s in SOURCES) for k in TEMPLATES}
    inside, middle = [], []
    for seed in range(30):
        texts = {
            s: documents(shares, 400, seed=1000 + 10 * seed + i)[0] for i, (s, shares) in enumerate(SOURCES.items())
        }
        target = {"goal": documents(goal, 400, seed=1009 + 10 * seed)[0]}
        vectors = domain_vectors(expected_counts(texts, found), draws=200, seed=seed)
        wanted = domain_vectors(expected_counts(target, found), draws=200, seed=1000 + seed)
        answer = alignment(vectors, wanted.sel(source="goal", drop=True))
        ends = answer.interval(0.89).sel(source=list(planted))
        inside.append((ends["lower"] <= list(planted.values())) & (ends["upper"] >= list(planted.values())))
        middle.append(answer.median().sel(source=list(planted)).values)
    assert 0.8 <= float(np.mean(inside)) <= 0.98
    np.testing.assert_allclose(np.mean(middle, axis=0), list(planted.values()), atol=0.02)


# ------------------------------------------------------------------------------------------------------------- errors
def test_documents_that_cannot_be_used_are_refused_with_one_sentence():
    texts, _ = documents(EVENLY, 100, seed=1)
    with pytest.raises(RangeError, match="number is 1: ask for 2"):
        find_meta_domains(texts, 1)
    with pytest.raises(DataError, match="100 documents are too few for 6 meta-domains: give at least 120"):
        find_meta_domains(texts, 6)
    with pytest.raises(DataError, match="document 3 of the corpus is empty"):
        find_meta_domains([*texts[:2], " \n", *texts[2:]], 2)
    with pytest.raises(DataError, match="the corpus is one text or none"):
        find_meta_domains("a whole book", 2)
    with pytest.raises(DataError, match="no words in common"):
        find_meta_domains([f"{i} + {i} = {2 * i}" for i in range(100)], 2)
    with pytest.raises(DataError, match="smallest of 3 meta-domains has 0 documents"):
        find_meta_domains(["all alike", "all different"] * 50, 3)


def test_sources_that_cannot_be_used_are_refused_with_one_sentence():
    with pytest.raises(DataError, match="documents holds no lists named by their source"):
        expected_counts(["def f(x):"], ByBrackets())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="documents holds no lists named by their source"):
        expected_counts({}, ByBrackets())
    with pytest.raises(DataError, match="'web' is one text or none"):
        expected_counts({"web": []}, ByBrackets())
    with pytest.raises(DataError, match="document 2 of 'web' is empty or no text"):
        expected_counts({"web": ["one", float("nan")]}, ByBrackets())  # type: ignore[list-item]


def test_what_is_no_probability_is_refused(monkeypatch):
    monkeypatch.setattr(ByBrackets, "probabilities", lambda self, texts: np.array([[-1.0, 2.0]] * len(texts)))
    with pytest.raises(DataError, match="put a softmax after its logits"):
        expected_counts({"web": ["one", "two"]}, ByBrackets())
    monkeypatch.setattr(ByBrackets, "meta_domains", lambda self: ["prose", "code", "law"])
    with pytest.raises(DataError, match=r"shape \(2, 2\) for 2 documents of 'web' and 3 meta-domains"):
        expected_counts({"web": ["one", "two"]}, ByBrackets())


def test_without_scikit_learn_the_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.calibration", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn is not installed: run pip install 'bayeslaw\[domain2vec\]'"):
        find_meta_domains(documents(EVENLY, 100, seed=1)[0], 2)
    assert expected_counts({"web": ["one (two)"]}, ByBrackets())["web"].idxmax() == "code"
