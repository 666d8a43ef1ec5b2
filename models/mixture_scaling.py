"""Mixture laws with size and tokens: the additive form, and the joint form whose size and token terms know the mixture.

Source: Shukor et al. 2025, arXiv:2507.09404.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, log, positive, total

TENTH = 0.1
"""Share at which G is meant."""

SMALLEST = 1e-4
"""Share that is added to every share: the slope of a power stays finite where a source is left out."""


def mixed(weight, /, *, G, g):
    """Nats that the mixture leaves."""
    return 1 / total(G / g * ((weight + SMALLEST) / TENTH) ** g, "source")


def blended(weight, alone, power):
    """Size or token term of a mixture: the power mean of those of its sources alone, their mean at a power of 1."""
    return total(weight * exp(1 / power * log(alone)), "source") ** power


COVARIATES = {
    "N": Covariate("parameters", "model size", reference=1e9),
    "D": Covariate("tokens", "training tokens, each seen once", reference=1e10),
    "weight": Covariate("1", "share of every source in the stream; they sum to 1", valid=(0.0, 1.0)),
}
LEVEL = {
    "E": Coefficient(
        positive(1.3, spread=0.5),
        "nats",
        "loss that no mixture, size or amount of tokens removes",
        seen_along="level",
        floor=True,
        why="published floors lie between 0.5 (code) and 1.9 nats",
    ),
    "G": Coefficient(
        positive(0.3, spread=1.2),
        "1 / nats",
        "how much more this source helps with more of it: the rise of its help with the log of its share, at a tenth",
        over="source",
        between=0.7,
        why="a mixture leaves 1 / (sum of the sources' help, G / g each at a tenth) nats: ten sources with a tenth "
        "each leave 0.05 nats (one helps much) to half a nat",
    ),
    "g": Coefficient(
        positive(0.3, spread=0.8),
        "1",
        "exponent of the share of this source",
        over="source",
        between=0.4,
        why="from nearly a logarithm (0.1) to nearly a straight line (1): the first percents teach the most",
    ),
}
ALPHA = Coefficient(
    positive(0.4, spread=0.4), "1", "exponent of size", between=0.15, why="0.2 to 0.5 in published laws"
)
BETA = Coefficient(
    positive(0.5, spread=0.4),
    "1",
    "exponent of tokens",
    between=0.15,
    why="0.37 between finished runs (arXiv:2404.10102); 0.65 to 0.9 along runs (arXiv:2403.16952)",
)
NOTES = (
    "One law per validation set. Only the curve in the shares is known: a source whose g is near 0 is a part of the "
    "level.",
    "The paper's C_i is G 10^g_i / g_i. Losses see the product C g, the rise of a source's help with its share, and "
    "hardly C and g apart; G is that product at a share of a tenth.",
    "A share of 0 takes a source's help away and has an endless slope in the paper; here 0.0001 is added to every "
    "share.",
    "It assumes fixed mixtures and no repetition: a token that is seen again counts as a new one.",
    "Weakest where a source's share is small in all runs: for Wikipedia the paper misses by 4.45 % (additive) and 2.09 "
    "% (joint), over all losses by 1.21 to 1.30 %; no coefficients were found.",
    "From few model sizes the exponents are the priors', and so is the extrapolation: docs/studies/mixture_scaling.md "
    "measures it.",
)


@law(
    title="Mixture, size and tokens: the additive form",
    source="Shukor et al. 2025, arXiv:2507.09404, additive law",
    equation=r"L = E + \frac{1}{\sum_i (G_i/g_i)\,(10\,h_i)^{g_i}} + A\,(N/N_0)^{-\alpha} + B\,(D/D_0)^{-\beta}",
    covariates=COVARIATES,
    coefficients={
        **LEVEL,
        "A": Coefficient(
            positive(0.4, spread=0.7),
            "nats",
            "part of the loss that size removes, at N0",
            between=0.3,
            seen_along="N",
            why="Chinchilla's term at 1e9 parameters is 0.36 nats (arXiv:2404.10102)",
        ),
        "alpha": ALPHA,
        "B": Coefficient(
            positive(0.3, spread=0.8),
            "nats",
            "part of the loss that tokens remove, at D0",
            between=0.3,
            seen_along="D",
            why="1e10 tokens leave a tenth to half a nat",
        ),
        "beta": BETA,
    },
    falls_in=("N", "D"),
    notes=(
        "The best mixture depends on neither size nor tokens: the law cannot say that it moves. The joint form can.",
        "Read in quotations of the paper. It is the form that the paper deploys for language models, where it missed "
        "least.",
        *NOTES,
    ),
)
def additive_mixture(N, D, weight, /, *, E, G, g, A, alpha, B, beta):
    return E + mixed(weight, G=G, g=g) + A * N**-alpha + B * D**-beta


@law(
    title="Mixture, size and tokens: the joint form",
    source="Shukor et al. 2025, arXiv:2507.09404, joint law, at second hand",
    equation=r"L = E + \frac{1}{\sum_i (G_i/g_i)\,(10\,h_i)^{g_i}} "
    r"+ \left(\sum_i h_i A_i^{1/g_A}\right)^{g_A} (N/N_0)^{-\alpha} "
    r"+ \left(\sum_i h_i B_i^{1/g_B}\right)^{g_B} (D/D_0)^{-\beta}",
    covariates=COVARIATES,
    coefficients={
        **LEVEL,
        "A": Coefficient(
            positive(0.4, spread=0.7),
            "nats",
            "part of the loss that size removes after training on this source alone, at N0",
            over="source",
            between=0.5,
            why="Chinchilla's term at 1e9 parameters is 0.36 nats (arXiv:2404.10102); sources differ by factors of 2",
        ),
        "g_A": Coefficient(
            positive(1.0, spread=0.4),
            "1",
            "how sources meet in the size term: the power mean of exponent 1 / g_A, at 1 the mean",
            between=0.2,
            why="no fitted value was found: a mean, bent up or down by a factor of 2 in the exponent",
        ),
        "alpha": ALPHA,
        "B": Coefficient(
            positive(0.3, spread=0.8),
            "nats",
            "part of the loss that tokens remove after training on this source alone, at D0",
            over="source",
            between=0.5,
            why="1e10 tokens leave a tenth to half a nat; sources differ by factors of 2",
        ),
        "g_B": Coefficient(
            positive(1.0, spread=0.4),
            "1",
            "how sources meet in the token term: the power mean of exponent 1 / g_B, at 1 the mean",
            between=0.2,
            why="no fitted value was found: a mean, bent up or down by a factor of 2 in the exponent",
        ),
        "beta": BETA,
    },
    falls_in=("N", "D"),
    notes=(
        "The joint form was never seen in the paper itself: it was read in second-hand texts and agrees with the "
        "paper's count of coefficients, 4 K + 5, 37 for eight sources.",
        "The paper's C^A_i and C^B_i are A_i^(1/g_A) and B_i^(1/g_B) at N0 and D0. In nats after a source alone, the "
        "powers say no more than how mixtures of sources lie between them.",
        "Its best mixture moves with size and tokens: ask fit.optimum_shift with which probability it moves by how "
        "much.",
        *NOTES,
    ),
)
def joint_mixture(N, D, weight, /, *, E, G, g, A, g_A, alpha, B, g_B, beta):
    size = blended(weight, A, g_A) * N**-alpha
    tokens = blended(weight, B, g_B) * D**-beta
    return E + mixed(weight, G=G, g=g) + size + tokens
