"""Domain2Vec: a mixing law on the meta-domains that data sets are blends of.

Source: Zhang et al. 2025, "Domain2Vec: Vectorizing Datasets to Find the Optimal Data Mixture without Training",
arXiv:2506.10952 (ICML 2025).
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, positive, real, total


@law(
    title="Mixing law on domain vectors",
    source="Zhang et al. 2025, arXiv:2506.10952 (ICML 2025), with the law of arXiv:2403.16952",
    equation=r"L = c + \exp\left(\sum_k t_k (V r)_k\right)",
    covariates={
        "weight": Covariate("1", "share of every meta-domain in the stream, V r; they sum to 1", valid=(0.0, 1.0))
    },
    coefficients={
        "c": Coefficient(
            positive(2.0, spread=0.6),
            "nats",
            "loss that no mixture removes",
            seen_along="level",
            floor=True,
            why="as in the data mixing law: 0.9 to 3.5 nats for models of 70M to 1B parameters",
        ),
        "t": Coefficient(
            real(-1.0, sd=2.0),
            "log nats",
            "log of the nats above the floor after training on this meta-domain alone",
            over="source",
            between=0.7,
            why="there are more meta-domains than data sets, so most of t is the prior's: narrower than between data "
            "sets",
        ),
    },
    notes=(
        "Sources here are meta-domains. bayeslaw.tables.mixtures.through(table, vectors) turns the shares r of data "
        "sets into V r; any mixing law may be fitted to such a table, and best_mixture(vectors=...) answers in shares "
        "of data sets again, of ones never trained on too.",
        "The paper fits boosted trees per meta-domain (10,500 small runs) and names this form as possible without "
        "testing it.",
        "With more meta-domains than data sets only the directions that data sets span are identified; an unseen data "
        "set that lies outside them is predicted from the prior. Pool t over source to borrow strength.",
        "Its other method, distribution alignment, needs no law and no losses: bayeslaw.decisions.alignment.",
        "A meta-domain at share 0 is no jump: classifiers give every one some probability.",
        "Vectors from texts: bayeslaw.tables.meta_domains, whose default (TF-IDF, k-means, logistic regression) is not "
        "the paper's classifier, a transformer fine-tuned on 260 meta-domains; one of your own takes its place.",
    ),
)
def domain2vec(weight, /, *, c, t):
    return c + exp(total(t * weight, "source"))
