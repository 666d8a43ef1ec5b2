"""Skaling: the Chinchilla law whose terms of size and tokens meet in a power, so that each may be worth more with both.

Source: Videau et al. 2026, arXiv:2608.07222, read in three secondary texts that agree, not in the paper.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, where


def joined(size, tokens, k):
    """Return (size^(1/k) + tokens^(1/k))^k, with the larger term taken out so that no power overflows."""
    larger, smaller = where(size > tokens, size, tokens), where(size > tokens, tokens, size)
    return larger * (1 + (smaller / larger) ** (1 / k)) ** k


def paper_units(reference, /, *, a_N, s_N, a_D, s_D, k):
    """Return the inner A, alpha, B and beta as the paper writes them, for N in parameters and D in tokens."""
    alpha, beta = s_N / k, s_D / k
    A, B = a_N ** (1 / k) * reference["N"] ** alpha, a_D ** (1 / k) * reference["D"] ** beta
    return {"A": A, "alpha": alpha, "B": B, "beta": beta}


SIZE = {
    "a_N": Coefficient(
        positive(0.5, spread=0.7),
        "nats",
        "what the size N0 leaves above the floor when tokens are endless, the paper's A^k at N0",
        between=0.3,
        why="a model of 1e9 parameters is a few tenths of a nat above an infinite one",
    ),
    "s_N": Coefficient(
        positive(0.35, spread=0.4),
        "1",
        "slope in size where tokens are endless, the paper's k alpha",
        between=0.15,
        why="0.2 to 0.5 in published laws, whose exponents are the slopes of each term alone",
    ),
}

TOGETHER = Coefficient(
    positive(1.0, spread=0.6),
    "1",
    "how the two meet: 1 adds them up; below 1 size is worth more with more tokens; above 1 it is worth less",
    between=0.15,
    why="secondary texts on the paper give 0.31 to 0.9; continual pre-training may lie above 1, and 1 is Chinchilla's",
)

HEARSAY = (
    "Formula and numbers were read in secondary texts that agree with each other; the paper itself was not read. They "
    "give k of 0.31 to 0.45 on two grids of pre-training and 0.77 to 0.90 on code and on the Chinchilla points."
)


@law(
    title="Skaling law",
    source="Videau et al. 2026, arXiv:2608.07222, as secondary texts give it",
    equation=r"L = E + \left(A\,N^{-\alpha} + B\,D^{-\beta}\right)^{k} = "
    r"E + \left[\left(a_N\,(N/N_0)^{-s_N}\right)^{1/k} + \left(a_D\,(D/D_0)^{-s_D}\right)^{1/k}\right]^{k}",
    covariates={
        "N": Covariate("parameters", "model size", reference=1e9),
        "D": Covariate("tokens", "training tokens, each seen once", reference=1e10),
    },
    coefficients={
        "E": Coefficient(
            positive(1.5, spread=0.6),
            "nats",
            "loss of an endless training of an infinite model",
            seen_along="level",
            why="published floors lie between 1.6 and 1.9 nats, and with k below 1 lower: it trades against k",
        ),
        **SIZE,
        "a_D": Coefficient(
            positive(0.5, spread=0.7),
            "nats",
            "what D0 tokens leave above the floor when the model is infinite, the paper's B^k at D0",
            between=0.3,
            why="1e10 tokens leave a few tenths of a nat",
        ),
        "s_D": Coefficient(
            positive(0.35, spread=0.4),
            "1",
            "slope in tokens where the model is infinite, the paper's k beta",
            between=0.15,
            why="0.2 to 0.5 in published laws, whose exponents are the slopes of each term alone",
        ),
        "k": TOGETHER,
    },
    falls_in=("N", "D"),
    paper_units=paper_units,
    notes=(
        HEARSAY,
        "k = 1 is the Chinchilla law; towards 0 only the larger of the two terms counts, and a large k makes them a "
        "product. The texts bound k by 2; here it is any number above 0.",
        "The compute optimum is that of the Chinchilla law with the inner A, alpha, B and beta, whatever k is.",
        "E and k trade against each other: the floor is no property of the text here, and only predictions are known.",
        "In our least-squares fits k gains several times within a clean ladder of runs, and little beyond it.",
        "What is said of the Chinchilla law on schedules and on repeated tokens holds here.",
    ),
)
def skaling(N, D, /, *, E, a_N, s_N, a_D, s_D, k):
    return E + joined(a_N * N**-s_N, a_D * D**-s_D, k)
