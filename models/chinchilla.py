"""The Chinchilla law: loss of pre-training against model size and tokens.

Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. (2); refit by Besiroglu et al. 2024, arXiv:2404.10102.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive


def paper_units(reference, /, *, A, alpha, B, beta):
    """Return A and B as the papers write them, for N in parameters and D in tokens."""
    return {"A": A * reference["N"] ** alpha, "B": B * reference["D"] ** beta}


@law(
    title="Chinchilla law",
    source="Hoffmann et al. 2022, arXiv:2203.15556, eq. (2)",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,(D/D_0)^{-\beta}",
    covariates={
        "N": Covariate("parameters", "model size", reference=1e9),
        "D": Covariate("tokens", "training tokens, each seen once", reference=1e10),
    },
    coefficients={
        "E": Coefficient(
            positive(1.7, spread=0.4),
            "nats",
            "entropy of text, the floor",
            seen_along="level",
            why="published floors lie between 1.6 and 1.9 nats",
        ),
        "A": Coefficient(
            positive(0.5, spread=0.7),
            "nats",
            "part of the loss that size removes, at N0",
            between=0.3,
            seen_along="N",
            why="a model of 1e9 parameters is a few tenths of a nat above an infinite one",
        ),
        "alpha": Coefficient(
            positive(0.35, spread=0.4),
            "1",
            "exponent of size",
            between=0.15,
            why="0.2 to 0.5 in published laws",
        ),
        "B": Coefficient(
            positive(0.5, spread=0.7),
            "nats",
            "part that tokens remove, at D0",
            between=0.3,
            seen_along="D",
            why="1e10 tokens leave a few tenths of a nat",
        ),
        "beta": Coefficient(
            positive(0.35, spread=0.4),
            "1",
            "exponent of tokens",
            between=0.15,
            why="0.2 to 0.5 in published laws",
        ),
    },
    falls_in=("N", "D"),
    paper_units=paper_units,
    notes=(
        "Holds for training to the end of a matched schedule; checkpoints in the middle of one lie above it.",
        "Repeated tokens are worth less than fresh ones (arXiv:2305.16264); the law counts them alike.",
        "The first published coefficients do not minimise their own objective; arXiv:2404.10102 gives E 1.817, A 482, "
        "alpha 0.348, B 2085, beta 0.366 in raw units.",
    ),
)
def chinchilla(N, D, /, *, E, A, alpha, B, beta):
    return E + A * N**-alpha + B * D**-beta
