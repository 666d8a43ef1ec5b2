"""From texts to domain vectors: meta-domains found in documents, and a classifier of documents that may be another."""

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

LEAST = 20
"""Documents per meta-domain, on average, below which none are looked for."""

FOLDS = 5
"""Parts of the documents: one is held out, and of the others each in turn calibrates."""

WORD = r"(?u)\b[^\W\d]\w+\b"
"""Two characters or more, the first no digit."""

VOCABULARY = 50_000
DIRECTIONS = 100
"""Most words, and most directions that they are projected to."""

TOLERANCE = 1e-3
"""Probabilities of a document may miss 1 by this much, as those in half precision do."""


class Classifier(Protocol):
    """What a classifier of documents has to offer, a fine-tuned transformer for example."""

    def meta_domains(self) -> Sequence[str]:
        """Return the names of the meta-domains."""
        ...

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return the probability of every meta-domain (columns) for every text (rows); rows sum to 1."""
        ...


@dataclass(frozen=True, eq=False)
class MetaDomains:
    """Groups of similar documents, and a `Classifier` that tells how probably a text belongs to each.

    Parameters
    ----------
    names : tuple of str
        Number and three most telling words of each.
    reliability : DataFrame
        Documents that were held out, in bins of the probability of the most probable meta-domain (index: where a bin
        starts): how many (``documents``), its mean (``probability``), and the share that k-means puts there too
        (``right``).
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
        """Expected calibration error: how far ``right`` lies from ``probability``, averaged by documents held out."""
        off = abs(self.reliability["right"] - self.reliability["probability"])
        return float(np.average(off, weights=self.reliability["documents"]))


def find_meta_domains(texts: Iterable[str], number: int, seed: int = 0) -> MetaDomains:
    """Group unlabelled documents, and train a calibrated classifier to tell the groups.

    Parameters
    ----------
    texts : iterable of str
        Documents of all sources together, without duplicates.
    number : int
        How many meta-domains to look for.
    seed : int
        The same one gives the same result.

    Returns
    -------
    MetaDomains
        A `Classifier`, and how well its probabilities hold on a fifth of the documents that nothing else has seen.

    Raises
    ------
    DataError
        The documents are too few or too much alike, or one is empty, or they hold no words.
    MissingExtra
        scikit-learn is not installed (``pip install 'bayeslaw[domain2vec]'``).
    RangeError
        `number` is below 2.

    Notes
    -----
    Words weighted by TF-IDF, projected to 100 directions at most (latent semantic analysis), k-means on the unit
    sphere, and on the same features a logistic regression whose temperature is set by cross-validation.

    A small default, for want of the classifier of Zhang et al. 2025, arXiv:2506.10952: a fine-tuned transformer of
    1.5B parameters over 260 meta-domains found among a billion documents. This one knows words and no meaning, and
    none in languages that put no spaces between them. Its labels are groups of k-means: that its probabilities are
    calibrated means that they tell these groups, not that the groups are what a reader would call a domain.
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
        raise RangeError(f"number is {number}: ask for 2 meta-domains or more, a single one tells no source apart")
    documents = _documents(texts, "the corpus")
    if len(documents) < LEAST * number:
        raise DataError(
            f"{len(documents)} documents are too few for {number} meta-domains: give at least {LEAST * number}, or ask "
            "for fewer"
        )
    order = np.random.default_rng(seed).permutation(len(documents))
    held_out, kept = ([documents[i] for i in part] for part in np.split(order, [len(order) // FOLDS]))

    weigh = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=VOCABULARY, token_pattern=WORD)
    try:
        words = weigh.fit_transform(kept)
    except ValueError:
        raise DataError(
            "the documents have no words in common: give text, in a language that spaces its words"
        ) from None
    project = make_pipeline(TruncatedSVD(min(DIRECTIONS, words.shape[1]), random_state=seed), Normalizer())
    points = project.fit_transform(words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer groups than asked for: refused below
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
    """Return how many documents of every source are expected to be of every meta-domain.

    Parameters
    ----------
    texts : mapping
        ``{source: its documents}``, drawn from it at random: near copies of each other are no new documents. A
        validation set is a source too. The paper draws 1,000.
    classifier : Classifier
        What `find_meta_domains` returns, or one of your own.

    Returns
    -------
    DataFrame
        One row per meta-domain, one column per source, whose sum is its number of documents: for
        `bayeslaw.decisions.domain_vectors`. Divided by the sums of its columns it is the domain vectors themselves, for
        `bayeslaw.tables.mixtures.through`.

    Raises
    ------
    DataError
        A source has no documents, or an empty one; or the classifier does not return probabilities.

    Notes
    -----
    Sums of probabilities and not counts of labels, since the vector of Zhang et al. 2025 is their mean. A mean over
    documents is linear: a blend of sources has the blend of their vectors even where the classifier errs, which is
    all that alignment and mixing laws need. It is not the share of documents that a reader would put there.

    `domain_vectors` reads the sums as counts of labels, whose shares v of n documents vary by v (1 - v) / n. Means of
    probabilities vary by that much at most, so its intervals are wide enough, and too wide where the classifier is
    often in doubt.
    """
    if not (isinstance(texts, Mapping) and texts):
        raise DataError("no documents that are named by their source: give {'web': [...], 'code': [...]}")
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
        if not ((found >= 0).all() and (abs(found.sum(1) - 1) <= TOLERANCE).all()):
            raise DataError(
                f"what the classifier gave for {source!r} is not probabilities, at least 0 and with sum 1 for every "
                "document: put a softmax after its logits"
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
    """Name groups of documents by the words that weigh more in them than elsewhere."""
    everywhere = words.mean(0)
    telling = [np.asarray(words[labels == k].mean(0) - everywhere).ravel() for k in range(labels.max() + 1)]
    return tuple("-".join([str(k), *vocabulary[np.argsort(-t)[:3]]]) for k, t in enumerate(telling))


def _reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return how often the most probable label is right, in ten bins of its probability."""
    highest = probabilities.max(1)
    table = pd.DataFrame({"probability": highest, "right": probabilities.argmax(1) == labels})
    grouped = table.groupby(np.floor(highest * 10).clip(max=9) / 10)
    return grouped.mean().assign(documents=grouped.size()).rename_axis("at least")
