"""BiMix: the loss of a corpus against its own share of the stream and the tokens, as a product.

Source: Ge et al. 2024, "BiMix: A Bivariate Data Mixing Law for Language Model Pretraining", arXiv:2405.14908.
"""

from bayeslaw.declare import Coefficient, Covariate, law, maximum, positive
from bayeslaw.models.dcpt import own_share

SMALLEST = 1e-3
"""The law has no value where a corpus is left out; smaller shares than this are read as it."""


@law(
    title="BiMix",
    source="Ge et al. 2024, arXiv:2405.14908",
    equation=r"L = r^{-\alpha}\,\left(B\,(D/D_0)^{-\beta} + C\right)",
    covariates={
        "D": Covariate("tokens", "training tokens", reference=1e10),
        "share": Covariate("1", "share of the corpus whose loss is predicted", valid=(SMALLEST, 1.0), derive=own_share),
    },
    coefficients={
        "alpha": Coefficient(
            positive(0.05, spread=0.8),
            "1",
            "exponent of the share",
            why="a share ten times as small raises the loss by 12 %: from 3 % to half as much again",
        ),
        "B": Coefficient(
            positive(0.5, spread=0.8),
            "nats",
            "what is still to be learned at D0, from this corpus alone",
            seen_along="D",
            why="a fifth of a loss of text, give or take a factor of two",
        ),
        "beta": Coefficient(positive(0.3, spread=0.5), "1", "exponent of tokens", why="0.2 to 0.5 in published laws"),
        "C": Coefficient(
            positive(2.0, spread=0.5),
            "nats",
            "loss of endless training on this corpus alone",
            seen_along="level",
            why="0.9 (code) to 3.5 nats (web text) per token",
        ),
    },
    falls_in=("D", "share"),
    notes=(
        "One law per validation set. Only the corpus' own share counts, not that of any other corpus.",
        "The paper's fifth coefficient, A, is the same as a factor of B and C: it is 1 here.",
        "The loss has no bound as the share goes to 0, so it fails for a corpus that is left out; what others teach "
        "about a corpus is not in it.",
        "The relative effect of the share is the same at any number of tokens, also in endless training.",
        "The paper prints no coefficients that we have read; the priors are ours.",
    ),
)
def bimix(D, share, /, *, alpha, B, beta, C):
    return maximum(share, SMALLEST) ** -alpha * (B * D**-beta + C)
