"""The multi-power law: loss at any step of any schedule, every fall of the rate taking effect bit by bit.

Source: Luo et al. 2025, "A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules", arXiv:2503.12811;
the formula is that of its repository, with the sum over falls begun after the warm-up, as the paper has it.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive


def paper_units(reference, /, *, A, alpha, B):
    """Return A and B as the paper writes them: B in nats per unit of learning rate."""
    return {"A": A * reference["S1"] ** alpha, "B": B / reference["annealed_power"]}


@law(
    title="Multi-power law",
    source="Luo et al. 2025, arXiv:2503.12811 (ICLR 2025)",
    equation=r"L = L_0 + A\,S_1^{-\alpha} - \frac{B}{\eta_0} \sum_k (\eta_{k-1} - \eta_k) "
    r"\left[1 - \left(1 + C\,\eta_k^{-\gamma}\,S_k\right)^{-\beta}\right]",
    covariates={
        "S1": Covariate("rate x steps", "forward area: sum of the learning rates so far, warm-up included"),
        "annealed_power": Covariate(
            "rate",
            "learning rate annealed away so far, every fall counted by the share of its effect that it has had",
            reference=2e-4,
            valid=(-float("inf"), float("inf")),
        ),
    },
    coefficients={
        "L0": Coefficient(
            positive(2.7, spread=0.3),
            "nats",
            "floor of this model on this data at a constant rate",
            between=0.15,
            seen_along="level",
            why="2.37 to 3.04 in the published fits to 400M, 100M and 25M; a larger model has a lower one",
        ),
        "A": Coefficient(
            positive(0.55, spread=0.4),
            "nats",
            "part of the loss that the forward area removes, at S1 = 1 (5,000 steps at 2e-4)",
            seen_along="S1",
            why="0.52 to 0.65 in the published fits",
        ),
        "alpha": Coefficient(
            positive(0.47, spread=0.3),
            "1",
            "exponent of the forward area",
            between=0.15,
            why="0.43 to 0.51 in the published fits",
        ),
        "B": Coefficient(
            positive(0.09, spread=0.5),
            "nats",
            "loss that a fall of the rate by 2e-4 removes once it has taken its full effect",
            why="0.07 to 0.10 in the published fits (B of 364 to 523 nats per unit of rate)",
        ),
    },
    falls_in=("S1", "annealed_power"),
    paper_units=paper_units,
    path="step",
    notes=(
        "Read in the authors' repository: the formula, and fits to 25M, 100M and 400M. Its prediction code counts the "
        "rising warm-up as falls below zero, which the paper does not: 0.10 to 0.16 nats, so that the constants of the "
        "one cannot be put into the other.",
        "C, beta and gamma, the shape of the memory, are settings of read_curves (power=), as lambda is for the "
        "annealing law, and the posterior knows nothing of their uncertainty. Fitted, they run along ridges: B to "
        "infinity as beta goes to 0 with B beta fixed, C against gamma. Compare a few by held-out runs.",
        "A fall takes effect with the area that follows it: steps at rate 0 do nothing here, unlike in the annealing "
        "law.",
        "Fitted to three public curves of 25M and of 100M with the default memory and its misfit, six other schedules "
        "are missed by 0.0036 and 0.0045 nats on average (least squares: of the same rows 0.0039 and 0.0045, of all "
        "rows 0.0041 and 0.0041), and the 89 % band of a new run holds 90 and 78 % of the losses "
        "(docs/studies/schedules.md); three times the steps of a cosine are missed most, by 0.012 at 100M.",
        "Holds for one peak rate, batch size and warm-up: a whole schedule scaled up always improves in the law.",
    ),
)
def multi_power(S1, annealed_power, /, *, L0, A, alpha, B):
    return L0 + A * S1**-alpha - B * annealed_power
