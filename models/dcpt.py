"""The D-CPT law: loss of continual pre-training against model size, tokens and mixture ratio.

Source: Que et al. 2024, "D-CPT Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models",
arXiv:2406.01375, parameterisation L3.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, where


def own_share(domain_share, eval):
    """Share of the corpus whose loss is predicted (the paper's r): r_d for the domain loss, 1 - r_d for the general."""
    return where(eval == "general", 1 - domain_share, domain_share)


def paper_requirement(D, /, *, B, beta, eta, C, gamma, eps):
    """Amounts that the paper holds above 0: eta > 1 and C > C0 (App. E.3) make the loss fall in its own share."""
    C0 = B * eta * (1 + eps) ** (gamma + 1) / (gamma * D**beta)
    return {"eta": eta - 1, "C": C - C0}


def paper_units(reference, /, *, A, alpha, B, beta):
    """Return A and B as the paper writes them, for N and D in billions."""
    return {"A": A * (reference["N"] / 1e9) ** alpha, "B": B * (reference["D"] / 1e9) ** beta}


COVARIATES = {
    "N": Covariate("parameters", "model size", reference=1e9),
    "D": Covariate("tokens", "tokens of continual pre-training", reference=1e10),
    "share": Covariate(
        "1", "share of the corpus whose loss is predicted, the paper's r", valid=(0.1, 1.0), derive=own_share
    ),
}

COEFFICIENTS = {
    "E": Coefficient(
        positive(1.5, spread=0.5),
        "nats",
        "loss floor",
        between=0.2,
        seen_along="level",
        why="validation losses of language models lie between 0.7 (music, code) and 4 nats",
    ),
    "A": Coefficient(
        positive(0.4, spread=0.7),
        "nats",
        "part of the loss that size removes, at N0",
        between=0.3,
        seen_along="N",
        why="Chinchilla's term at 1e9 parameters is 0.36 nats (arXiv:2404.10102)",
    ),
    "alpha": Coefficient(
        positive(0.3, spread=0.4),
        "1",
        "exponent of size",
        between=0.15,
        why="0.2 to 0.5 in published laws; three sizes cannot tell more",
    ),
    "B": Coefficient(
        positive(0.15, spread=1.0),
        "nats",
        "part that tokens remove, at D0 and share 1",
        between=0.3,
        seen_along="D",
        why="runs of continual pre-training still gain about a tenth of a nat at 1e10 tokens",
    ),
    "beta": Coefficient(
        positive(0.3, spread=0.4),
        "1",
        "exponent of tokens",
        between=0.15,
        why="0.2 to 0.5 in published laws",
    ),
    "eta": Coefficient(
        positive(1.2, spread=0.3),
        "1",
        "how the token term grows with the share",
        between=0.15,
        why="the paper requires eta > 1; measured runs also show values below",
    ),
    "C": Coefficient(
        positive(0.4, spread=0.8),
        "nats",
        "part that the corpus' own share removes",
        between=0.3,
        seen_along="share",
        why="from a tenth of the stream to all of it the loss falls by about 0.1 to 1 nat",
    ),
    "gamma": Coefficient(
        positive(0.35, spread=0.6),
        "1",
        "exponent of the share",
        between=0.2,
        why="table 5 of the paper is fitted as well by 0.02 as by 2; the prior keeps to curves that are neither",
    ),
    "eps": Coefficient(
        positive(0.08, spread=0.8),
        "1",
        "offset that keeps the loss finite at share 0",
        between=0.2,
        why="the paper: 'typically near 0.1'",
    ),
}


@law(
    title="D-CPT law (L3)",
    source="Que et al. 2024, arXiv:2406.01375 (NeurIPS 2024), parameterisation L3",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,r^{\eta}\,(D/D_0)^{-\beta} + C\,(r+\varepsilon)^{-\gamma}",
    covariates=COVARIATES,
    coefficients=COEFFICIENTS,
    evals=("general", "domain"),
    falls_in=("N", "D", "share"),
    falls_faster=(("D", "share"),),
    sufficient_shape=paper_requirement,
    paper_units=paper_units,
    notes=(
        "There is one law per validation set, with its own coefficients; r is always the share of the corpus whose "
        "loss is predicted, so both losses fall in their own r.",
        "The paper prints no fitted coefficients; published are eps near 0.1 and, for law text at 1:1, "
        "beta/alpha = 1.668.",
        "The loss does not fall in its own share by itself: by default the prior asks for it over the observed range.",
        "It fails near share 0: below a share r_i in (0, 0.1) the measured loss rises with tokens (App. I.3), which "
        "the law cannot do. Rows there stay out of the likelihood unless asked for.",
        "It cannot bend: a general loss that first rises and then falls with tokens is outside its reach.",
        "C, gamma, eps and E trade against each other along a ridge: only the curve they make is identified.",
        "It says nothing about learning-rate schedules or another pre-training budget of the base model.",
    ),
)
def dcpt(N, D, share, /, *, E, A, alpha, B, beta, eta, C, gamma, eps):
    return E + A * N**-alpha + B * share**eta * D**-beta + C * (share + eps) ** -gamma
