"""Domain2Vec: a source that no run was trained on, and mixtures found again from classified documents.

python -m tests.studies.domain2vec
"""

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.decisions.domain_alignment import alignment, domain_vectors
from bayeslaw.tables.mixtures import PREFIX, folded, through
from bayeslaw.workflow import Fit
from tests.studies.mixtures import observed_and_predicted, predicted, regmix, scores
from tests.studies.page import DATA, DOCS, Page, convergence

NAMES = {
    "Pile-CC": "pile_cc",
    "PubMed Central": "pubmed_central",
    "ArXiv": "arxiv",
    "Github": "github",
    "FreeLaw": "freelaw",
    "StackExchange": "stackexchange",
    "USPTO Backgrounds": "uspto_backgrounds",
    "PubMed Abstracts": "pubmed_abstracts",
    "Gutenberg (PG-19)": "gutenberg_pg_19",
    "Wikipedia (en)": "wikipedia_en",
    "DM Mathematics": "dm_mathematics",
    "Ubuntu IRC": "ubuntu_irc",
    "EuroParl": "europarl",
    "HackerNews": "hackernews",
    "PhilPapers": "philpapers",
    "NIH ExPorter": "nih_exporter",
    "Enron Emails": "enron_emails",
}
PILE = [0.142, 0.136, 0.134, 0.054, 0.049, 0.118, 0.053, 0.107, 0.025]
PILE += [0.117, 0.025, 0.009, 0.005, 0.01, 0.003, 0.007, 0.004]
"""Shares of the Pile, in the order of the vectors."""

NEW = {"pubmed_abstracts": "pubmed_abstracts", "freelaw": "pile_cc"}
"""Sources left out, and the loss that is predicted."""

ENOUGH = 0.1
DOCUMENTS = 1000
SIMULATIONS = 12


def vectors() -> pd.DataFrame:
    """Return the 60 printed coordinates of every source's domain vector, and the rest as one more."""
    printed = pd.read_csv(DATA / "domain2vec" / "fig1_vectors.csv").set_index("meta_domain").rename(columns=NAMES)
    printed.index = printed.index.astype(str)
    return pd.concat([printed, (1 - printed.sum()).to_frame("rest").T])


def apart(known: pd.DataFrame, name: str) -> float:
    """Return the part of a vector, by length, that no blend of the others' vectors has."""
    others = known.drop(columns=name).to_numpy()
    nearest = others @ np.linalg.lstsq(others, known[name].to_numpy(), rcond=None)[0]
    return float(np.linalg.norm(known[name] - nearest) / np.linalg.norm(known[name]))


def new_source(page: Page, name: str, goal: str) -> tuple[Fit, str]:
    """Fit the mixtures without a source, predict those with it, through the vectors and without them."""
    known, column = vectors(), f"{PREFIX}{name}"
    train, tests = regmix("train", "1m"), regmix("test", "1m")
    every = pd.concat([train, tests], ignore_index=True)
    seen = train[train[column] == 0].reset_index(drop=True)
    unseen = every[every[column] >= ENOUGH].reset_index(drop=True)
    losses = {goal: f"{goal}_loss"}
    blended = bl.Model(
        models.domain2vec, bl.read_runs(through(seen, known), loss=losses), outside="include", misfit=None
    )
    fit = page.fit(f"without_{name}", blended)
    plain = bl.Model(
        models.data_mixing, bl.read_runs(seen.drop(columns=column), loss=losses), outside="include", misfit=None
    )
    ignorant = page.fit(f"ignoring_{name}", plain)
    left = [c for c in map(str, unseen.columns) if c.startswith(PREFIX) and c != column]
    dropped = unseen.drop(columns=column).assign(**{c: unseen[c] / unseen[left].sum(axis=1) for c in left})
    old = dropped[left].notna().all(axis=1).to_numpy()
    predictions = {
        "mixing law on domain vectors": predicted(fit, through(unseen[old], known)),
        "mixing law on the other shares": predicted(ignorant, dropped[old]),
    }
    page.text(
        f"### {name} is new, loss on {goal}\n\nFitted to the {len(seen)} training mixtures without it, asked for the "
        f"{old.sum()} (of training and test) with at least {ENOUGH:.0%} of it. {apart(known, name):.0%} of its "
        "vector's length lies outside the blends of the others. The second row leaves the new source out of the "
        "mixture and divides the other shares by their sum."
    )
    found = pd.DataFrame({k: scores(v) for k, v in predictions.items()}).T.rename_axis("law")
    page.table(found)
    sampled = dict(zip(predictions, (fit, ignorant), strict=True))
    page.table(pd.DataFrame({k: convergence(f) for k, f in sampled.items()}).T.rename_axis("law"))
    shown = observed_and_predicted(predictions)
    page.figure(name, shown, f"Predicted against measured losses of mixtures with {name}, by two laws")
    best = fit.best_mixture(vectors=known, at_most=tried()).recommended.to_series()
    lowest = int(every[f"{goal}_loss"].to_numpy().argmin())
    trained_on = folded(every).isel(row=lowest).to_series()
    floor, asked = fit.posterior["c"].median().item(), unseen[f"{goal}_loss"]
    page.text(
        f"The floor c on vectors is {floor:.2f} nats; {(asked < floor).mean():.0%} of the losses asked for lie below "
        f"it. Within the largest share of every source that was tried, this law recommends {_named(best)}; the run "
        f"with the lowest {goal} loss of all {len(every)} trained on {_named(trained_on)}."
    )
    ours, other = (found.loc[k] for k in predictions)
    return fit, (
        f"{name}, {goal} loss: through the vectors the error is {ours['MAE']:.2f} nats and the rank correlation "
        f"{ours['Spearman']:.2f}, without them {other['MAE']:.2f} and {other['Spearman']:.2f}; the 89 % intervals "
        f"hold {ours['coverage']:.0%} and {other['coverage']:.0%}."
    )


def tried() -> dict[str, float]:
    """Return the largest share of every source in the training mixtures."""
    largest = regmix("train", "1m").filter(like=PREFIX).max()
    return {str(column).removeprefix(PREFIX): float(share) for column, share in largest.items()}


def _named(shares: pd.Series) -> str:
    largest = shares.sort_values(ascending=False).head(3)
    return ", ".join(f"{source} {share:.3f}" for source, share in largest.items() if share > 0)


def found_again(page: Page) -> str:
    """Align simulated documents of the Pile's sources with documents of the Pile."""
    known, rng = vectors(), np.random.default_rng(3)
    planted = pd.Series(PILE, index=known.columns) / sum(PILE)
    inside, width = [], []
    for seed in range(SIMULATIONS):
        counts = pd.DataFrame({s: rng.multinomial(DOCUMENTS, known[s] / known[s].sum()) for s in known}, known.index)
        goal = pd.DataFrame({"goal": rng.multinomial(DOCUMENTS, known @ planted)}, known.index)
        target = domain_vectors(goal, draws=300, seed=1000 + seed).sel(source="goal", drop=True)
        ends = alignment(domain_vectors(counts, draws=300, seed=seed), target).interval()
        low, high = (ends[e].sel(source=planted.index).values for e in ("lower", "upper"))
        inside.append((low <= planted) & (planted <= high))
        width.append(high - low)
    page.text(
        f"## A planted mixture, from {DOCUMENTS:,} documents a source (simulated)\n\nDocuments are drawn from the "
        f"printed vectors of the 17 sources and from their blend in the Pile's own shares; {SIMULATIONS} times. "
        "Distribution alignment returns the mixture with its interval."
    )
    table = pd.DataFrame(
        {"planted share": planted, "mean width": np.mean(width, axis=0), "coverage": np.mean(inside, axis=0)}
    )
    page.table(table.sort_values("planted share", ascending=False).rename_axis("source"))
    return f"Planted shares: the 89 % intervals of alignment hold {np.mean(inside):.0%} of them."


def main() -> None:
    """Write the page and the report."""
    page = Page("domain2vec", "Domain2Vec: sources that no run has seen")
    page.text(
        "Domain2Vec (arXiv:2506.10952) describes a data set by the meta-domains it blends. A mixing law on those "
        "may predict a source that was in no run. Does it, on the RegMix runs of 1M parameters with the 60 of 260 "
        "coordinates that the paper prints? And does alignment, which needs no runs, find a planted mixture again?"
    )
    page.text("## One source kept out of the vocabulary")
    fits, verdicts = zip(*(new_source(page, name, goal) for name, goal in NEW.items()), strict=True)
    lines = [*verdicts, found_again(page)]
    page.text(
        "## What holds, and what does not\n\n"
        + "\n".join(f"- {line}" for line in lines)
        + "\n\nThe interval of a new run adds a run's error and not what a vector leaves out: do not trust it for a "
        "source that no run has seen."
    )
    page.write()
    fits[0].report(
        DOCS / "reports" / "domain2vec.md",
        title="Mixing law on domain vectors: a source that no run saw",
        about="Models of 1M parameters on mixtures of the Pile without one of its 17 sources (arXiv:2407.01492), by "
        "the published vectors of the sources (arXiv:2506.10952): their loss on Pile-CC. More in the "
        "[study](../studies/domain2vec.md).",
        question={"vectors": vectors(), "at_most": tried()},
    )


if __name__ == "__main__":
    main()
