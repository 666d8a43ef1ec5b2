"""Meta-domains found in documents, and expected counts of documents by any classifier."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from bayeslaw.errors import DataError, MissingExtra, RangeError

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import Pipeline

__all__ = ["Classifier", "MetaDomains", "expected_counts", "find_meta_domains"]

LEAST_DOCUMENTS = 20
"""Smallest mean number of documents per meta-domain."""

FOLDS = 5
"""Number of parts of the documents: one is held out, the others cross-validate the temperature."""

WORD = r"(?u)\b[^\W\d]\w+\b"
"""A word: two characters or more, the first no digit."""

MOST_WORDS = 50_000
MOST_DIRECTIONS = 100
"""Largest vocabulary, and largest number of directions of its projection."""

SUM_TOLERANCE = 1e-3
"""Probabilities of a document, which may be in half precision, sum to 1 within this."""


class Classifier(Protocol):
    """Methods of a classifier of documents, for example of a fine-tuned transformer."""

    def meta_domains(self) -> Sequence[str]:
        """Return the names of the meta-domains."""
        ...

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of every meta-domain (columns) for every text (rows); rows sum to 1."""
        ...


@dataclass(frozen=True, eq=False)
class MetaDomains:
    """Groups of similar documents, and a `Classifier` of texts into them.

    Parameters
    ----------
    names : tuple of str
        Number and three most characteristic words of each.
    reliability : DataFrame
        Held-out documents in bins of the highest probability (index: lower end of the bin): number of ``documents``,
        mean ``probability``, and the share ``right`` that k-means puts in the same meta-domain.
    features, classifier : scikit-learn estimators
        The steps from texts to probabilities.
    """

    names: tuple[str, ...]
    reliability: pd.DataFrame
    features: "Pipeline"
    classifier: "CalibratedClassifierCV"

    def meta_domains(self) -> tuple[str, ...]:
        """Return the names of the meta-domains."""
        return self.names

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of every meta-domain (columns) for every text (rows)."""
        return np.asarray(self.classifier.predict_proba(self.features.transform(texts)), float)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean distance of ``right`` from ``probability``, weighted by documents."""
        off = abs(self.reliability["right"] - self.reliability["probability"])
        return float(np.average(off, weights=self.reliability["documents"]))


def find_meta_domains(texts: Iterable[str], number: int, seed: int = 0) -> MetaDomains:
    """Group unlabelled documents, and train a calibrated classifier of the groups.

    Parameters
    ----------
    texts : iterable of str
        Documents of all sources together, without duplicates.
    number : int
        Number of meta-domains.
    seed : int
        Seed of the split, the projection and k-means.

    Returns
    -------
    MetaDomains
        A `Classifier`, and its reliability on a fifth of the documents, held out.

    Raises
    ------
    DataError
        The documents are too few or too similar, or one is empty, or they hold no words.
    MissingExtra
        scikit-learn is not installed (``pip install 'bayeslaw[domain2vec]'``).
    RangeError
        `number` is below 2.

    Notes
    -----
    Words weighted by TF-IDF, projected to 100 directions at most (latent semantic analysis), k-means on the unit
    sphere, and on the same features a logistic regression whose temperature is set by cross-validation.

    A small substitute for the classifier of Zhang et al. 2025, arXiv:2506.10952, a fine-tuned transformer of 1.5B
    parameters over 260 meta-domains of a billion documents. It needs languages with spaces between words. Its
    probabilities are calibrated for the groups of k-means, which need not be domains to a reader.
    """
    try:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.cluster import KMeans
        from sklearn.decomposition import TruncatedSVD
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer
    except ImportError:
        raise MissingExtra("domain2vec", "scikit-learn") from None
    if number < 2:
        raise RangeError(f"number is {number}: ask for 2 meta-domains or more")
    documents = _documents(texts, "the corpus")
    if len(documents) < (least := LEAST_DOCUMENTS * number):
        raise DataError(
            f"{len(documents)} documents are too few for {number} meta-domains: give at least {least}, or ask for fewer"
        )
    order = np.random.default_rng(seed).permutation(len(documents))
    held_out, kept = ([documents[i] for i in part] for part in np.split(order, [len(order) // FOLDS]))

    weigh = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=MOST_WORDS, token_pattern=WORD)
    try:
        words = weigh.fit_transform(kept)
    except ValueError:
        raise DataError("the documents have no words in common: give text with spaces between words") from None
    project = make_pipeline(TruncatedSVD(min(MOST_DIRECTIONS, words.shape[1]), random_state=seed), Normalizer())
    points = project.fit_transform(words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # too few groups raise an error below
        groups = KMeans(number, n_init=10, random_state=seed).fit(points)
    sizes = np.bincount(groups.labels_, minlength=number)
    if sizes.min() < FOLDS:
        raise DataError(
            f"the smallest of {number} meta-domains has {sizes.min()} documents to train on: ask for fewer of them, or "
            "give more documents that differ"
        )
    regression = LogisticRegression(max_iter=1000)
    classifier = CalibratedClassifierCV(regression, method="temperature", cv=FOLDS, ensemble=False)
    classifier.fit(points, groups.labels_)

    features = make_pipeline(weigh, project)
    points = features.transform(held_out)
    reliability = _reliability(classifier.predict_proba(points), groups.predict(points))
    return MetaDomains(_names(words, weigh.get_feature_names_out(), groups.labels_), reliability, features, classifier)


def expected_counts(texts: Mapping[str, Iterable[str]], classifier: Classifier) -> pd.DataFrame:
    """Return the expected number of documents of every source in every meta-domain.

    Parameters
    ----------
    texts : mapping
        ``{source: its documents}``, drawn at random without near copies. A validation set is a source too. The paper
        draws 1,000.
    classifier : Classifier
        The result of `find_meta_domains`, or your own.

    Returns
    -------
    DataFrame
        One row per meta-domain, one column per source, whose sum is its number of documents, for
        `bayeslaw.decisions.domain_vectors`. Columns divided by their sums are domain vectors, for
        `bayeslaw.tables.mixtures.through`.

    Raises
    ------
    DataError
        A source has no documents, or an empty one; or the classifier does not return probabilities.

    Notes
    -----
    The counts sum probabilities, since the vector of Zhang et al. 2025 is their mean. A mean over documents is linear:
    a blend of sources has the blend of their vectors even where the classifier errs.

    `domain_vectors` takes the sums for counts of labels, whose shares v of n documents have the variance v (1 - v) / n.
    Means of probabilities have at most this variance, so that its intervals are conservative.
    """
    if not (isinstance(texts, Mapping) and texts):
        raise DataError("documents holds no lists named by their source: give {'web': [...], 'code': [...]}")
    names = [str(name) for name in classifier.meta_domains()]
    counts = {}
    for source, some in texts.items():
        documents = _documents(some, f"{source!r}")
        found = np.asarray(classifier.probabilities(documents), float)
        if found.shape != (len(documents), len(names)):
            raise DataError(
                f"the classifier gave an array of shape {found.shape} for {len(documents)} documents of {source!r} and "
                f"{len(names)} meta-domains: return a row per document and a column per meta-domain"
            )
        if not ((found >= 0).all() and (abs(found.sum(1) - 1) <= SUM_TOLERANCE).all()):
            raise DataError(
                f"the probabilities of the classifier for {source!r} are negative or do not sum to 1: put a softmax "
                "after its logits"
            )
        counts[source] = found.sum(0)
    return pd.DataFrame(counts, index=pd.Index(names, name="meta_domain"))


def _documents(texts: Iterable[str], where: str) -> list[str]:
    """Return documents as a list, none of them empty."""
    documents = [] if isinstance(texts, str) else list(texts)
    if not documents:
        raise DataError(f"{where} is one text or none: give a list of documents")
    for i, text in enumerate(documents):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"document {i + 1} of {where} is empty or no text: leave it out")
    return documents


def _names(words: Any, vocabulary: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    """Name groups of documents by the words with the largest weight above the mean."""
    everywhere = words.mean(0)
    telling = [np.asarray(words[labels == k].mean(0) - everywhere).ravel() for k in range(labels.max() + 1)]
    return tuple("-".join([str(k), *vocabulary[np.argsort(-t)[:3]]]) for k, t in enumerate(telling))


def _reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return how often the most probable label is right, in ten bins of its probability."""
    highest = probabilities.max(1)
    table = pd.DataFrame({"probability": highest, "right": probabilities.argmax(1) == labels})
    grouped = table.groupby(np.floor(highest * 10).clip(max=9) / 10)
    return grouped.mean().assign(documents=grouped.size()).rename_axis("at least")
