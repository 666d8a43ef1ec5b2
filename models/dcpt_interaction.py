"""The D-CPT law whose terms of size and tokens meet in a power, as in `skaling`. This combination is ours.

Sources: Que et al. 2024, arXiv:2406.01375, parameterisation L3; Videau et al. 2026, arXiv:2608.07222.
"""

from bayeslaw.declare import Coefficient, law, maximum, positive
from bayeslaw.models.dcpt import COEFFICIENTS, COVARIATES
from bayeslaw.models.skaling import HEARSAY, SIZE, TOGETHER, joined

SMALLEST = 1e-3
"""Smaller shares are read as this one: a term of no tokens has no power that can be differentiated."""


@law(
    title="D-CPT law with an interaction of size and tokens",
    source="ours, after Que et al. 2024, arXiv:2406.01375 (L3), and Videau et al. 2026, arXiv:2608.07222",
    equation=r"L = E + \left(A\,N^{-\alpha} + B\,r^{\eta} D^{-\beta}\right)^{k} + C\,(r+\varepsilon)^{-\gamma},\quad "
    r"a_N = A^k N_0^{-s_N},\ a_D = B^k D_0^{-s_D},\ s_N = k\alpha,\ s_D = k\beta,\ s_r = k\eta",
    covariates=COVARIATES,
    coefficients={
        "E": COEFFICIENTS["E"],
        **SIZE,
        "a_D": Coefficient(
            positive(0.15, spread=1.0),
            "nats",
            "what D0 tokens of the corpus alone leave when the model is infinite",
            between=0.3,
            why="runs of continual pre-training still gain about a tenth of a nat at 1e10 tokens",
        ),
        "s_D": Coefficient(
            positive(0.3, spread=0.4),
            "1",
            "slope in tokens where the model is infinite",
            between=0.15,
            why="0.2 to 0.5 in published laws",
        ),
        "s_r": Coefficient(
            positive(1.2, spread=0.3),
            "1",
            "how the token term grows with the share, D-CPT's eta at k = 1",
            between=0.15,
            why="as eta in D-CPT, which this is at k = 1: the paper requires more than 1 there",
        ),
        "k": TOGETHER,
        **{name: COEFFICIENTS[name] for name in ("C", "gamma", "eps")},
    },
    evals=("general", "domain"),
    falls_in=("N", "D", "share"),
    falls_faster=(("D", "share"),),
    notes=(
        "No paper states this law: it is D-CPT's L3 with the interaction of the Skaling law, and L3 itself at k = 1.",
        HEARSAY,
        "Above 1, as tiny models under continual pre-training have it, a larger model gains less from tokens.",
        "E, k, C, gamma and eps trade against each other: only the curves they make are known.",
        "What is said of dcpt on its range, on bends and on schedules holds here.",
    ),
)
def dcpt_interaction(N, D, share, /, *, E, a_N, s_N, a_D, s_D, s_r, k, C, gamma, eps):
    tokens = a_D * maximum(share, SMALLEST) ** s_r * D**-s_D
    return E + joined(a_N * N**-s_N, tokens, k) + C * (share + eps) ** -gamma
