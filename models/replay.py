"""Forgetting under small replay: the general loss of continual pre-training with 0 to a few percent of old data.

Source: Bethune et al. 2025, arXiv:2502.06042 (ICML 2025), eq. (6) and (7).
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, real, share

PERCENT = 0.01
"""Replay at which `kept` is meant."""


def paper_units(*, alpha, kept):
    """Return the paper's B, the worth of replay."""
    return {"B": (kept ** (-1 / alpha) - 1) / PERCENT}


@law(
    title="Forgetting under small replay",
    source="Bethune et al. 2025, arXiv:2502.06042 (ICML 2025), eq. (7), at second hand",
    equation=r"L = L_{base} + m + F\,\frac{(D/D_0)^{\beta}}{((1 + B\,p)\,N/N_0)^{\alpha}},\quad "
    r"B = 100\,(k^{-1/\alpha} - 1)",
    covariates={
        "N": Covariate("parameters", "model size", reference=1e9),
        "D": Covariate("tokens", "tokens of continual pre-training", reference=1e10),
        "replay": Covariate(
            "1",
            "share of the general corpus in the stream, the paper's p: 1 - domain_share",
            valid=(0.0, 0.1),
            derive=lambda domain_share: 1 - domain_share,
        ),
        "L_base": Covariate(
            "nats",
            "general loss of the base model, by its size: a column, or else the mean of the rows at D = 0",
            valid=(0.01, 20.0),
            of="N",
            start="general",
        ),
    },
    coefficients={
        "m": Coefficient(
            real(0.0, sd=0.1),
            "nats",
            "floor above the loss of the base model; below 0 if long training with much replay gets below it",
            between=0.05,
            seen_along="level",
            why="the paper has 0; at half replay measured losses end 0.01 to 0.07 nats off the base model's, and a "
            "base model that still learns gains up to 0.2",
        ),
        "F": Coefficient(
            positive(0.4, spread=1.2),
            "nats",
            "forgetting without replay, at N0 and D0",
            between=0.7,
            seen_along="N",
            why="0.23 to 1.4 nats after 2e11 to 3e11 tokens (arXiv:2403.08763), less after short fine-tuning",
        ),
        "alpha": Coefficient(
            positive(0.4, spread=0.4),
            "1",
            "exponent of size, and of replay",
            between=0.2,
            why="0.40 and 0.46 by least squares to two sets of arXiv:2403.08763; the paper's values were not found",
        ),
        "beta": Coefficient(
            positive(0.3, spread=0.6),
            "1",
            "exponent with which forgetting grows with tokens",
            between=0.2,
            why="the paper's values were not found: a factor of 1.3 to 3.5 in forgetting for ten times the tokens",
        ),
        "kept": Coefficient(
            share(0.35, weight=6.0),
            "1",
            "share of the forgetting that is left at 1 % replay, the symbol k",
            between=0.5,
            why="0.31 and 0.49 by least squares to two sets of arXiv:2403.08763; 0.16 to 0.41 for the paper's B of 829 "
            "(Wikipedia) to 1e4 (DM Mathematics) at an exponent of 0.4",
        ),
    },
    evals=("general",),
    falls_in=("N", "replay"),
    rises_in=("D",),
    paper_units=paper_units,
    notes=(
        "For a replay of 0 to about 5 %, the paper's range (0, 0.1, 0.5, 1 and 5 %), and up to the 10 % at which D-CPT "
        "begins; for full fine-tuning of base models, 41M to 1.27B in the paper. Least squares with m = 0 to shares up "
        "to half misses by 0.033 and 0.014 nats (arXiv:2403.08763), 0.04 too low at 5 % and 0.06 too high at 50 %.",
        "Equations and the range of B were read in second-hand texts that agree; alpha, beta and A of the paper's "
        "domains were not found, and neither data nor code are public. The paper reports errors of 0.83 % when sizes "
        "up to 334M predict 1.27B.",
        "Coordinates: the paper's A, B and alpha trade against each other where B p is well above 1; the forgetting "
        "without replay and the share of it left at 1 % do not. m is ours: the paper's floor is the base model's loss.",
        "Freed from the base model's loss the law becomes a logarithm of the replay: its error falls to 0.0017 nats in "
        "one set, and alpha to 0.08. The prior of m is what keeps it.",
        "The paper counts the tokens of the new corpus, here those of the whole stream: within the range a tenth apart "
        "at most. Its loss is that at the bottom of the domain's validation curve.",
        "The domain loss has no replay in it, E + A N^-alpha D^-beta (eq. 6): fit chinchilla to it.",
        "For a model size without rows, L_base is part of the question: predict(..., L_base=2.1), or "
        "labels={'L_base': 2.1} of a decision.",
    ),
)
def replay(N, D, replay, L_base, /, *, m, F, alpha, beta, kept):
    worth = (kept ** (-1 / alpha) - 1) / PERCENT
    return L_base + m + F * D**beta * ((1 + worth * replay) * N) ** -alpha
