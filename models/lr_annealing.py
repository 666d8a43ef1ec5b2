"""The learning-rate annealing law: loss at any step of any schedule, from the two areas under it; and with model size.

Source: Tissue, Wang, Wang 2024, "Scaling Law with Learning Rate Annealing", arXiv:2408.11029; the formula is read in
arXiv:2505.07796, eq. (1) and (7), and in the script of the authors.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, real


def paper_units(reference, /, *, A, alpha, C):
    """Return A as the papers write it and C / (1 - lambda), in nats per unit of learning rate."""
    return {"A": A * reference["S1"] ** alpha, "C": C / reference["annealed"]}


def paper_units_with_size(reference, /, *, A, alpha, B, beta, C, gamma):
    """Return the same for a model of one parameter: B and C for N in parameters."""
    per_rate = C / reference["annealed"] * reference["N"] ** -gamma
    return paper_units(reference, A=A, alpha=alpha, C=C) | {"B": B * reference["N"] ** beta, "C": per_rate}


AREAS = {
    "S1": Covariate("rate x steps", "forward area: sum of the learning rates so far"),
    "annealed": Covariate(
        "rate",
        "learning rate annealed away so far, (1 - lambda) S2: after a finished decay, its fall; negative after a rise",
        reference=2e-4,
        valid=(-float("inf"), float("inf")),
    ),
}
FORWARD = {
    "A": Coefficient(
        positive(0.5, spread=0.4),
        "nats",
        "part of the loss that the forward area removes, at S1 = 1 (5,000 steps at 2e-4)",
        seen_along="S1",
        why="fits to public curves of 25M to 1.7B give 0.41 to 0.65",
    ),
    "alpha": Coefficient(
        positive(0.5, spread=0.3),
        "1",
        "exponent of the forward area",
        between=0.15,
        why="0.40 to 0.70 in published fits",
    ),
}
NOTES = (
    "Read in a paper: the formula, and lambda = 0.999, a setting and not a coefficient (arXiv:2505.07796). The text of "
    "arXiv:2408.11029 itself was not at hand; its constants with model size are unverified, hence the wide priors.",
    "C and lambda trade off: refits of public curves of 100M move C / (1 - lambda) by 6 % from lambda 0.9 to 0.999, so "
    "C is the loss removed by a finished decay from the reference rate. Its memory is counted in steps: real runs of "
    "1,500 steps, left out in turn (bl.compare_memories), are missed by 0.034 nats with lambda 0.999 and by 0.011 with "
    "0.99, public curves of 24,000 and more by 0.004 and 0.003. The check 'memory' says if another does better.",
    "Holds for one peak rate, batch size and warm-up: a whole schedule scaled up always improves in the law, and steps "
    "at rate 0 still do, because S2 grows on. Both are failures of the law, not advice.",
    "The first steps after warm-up are over-predicted in public reproductions.",
    "Dense logs are best read thinned. Fitted to three public curves of 25M and of 100M with lambda 0.998, which fits "
    "them better than 0.999 at both sizes, with its misfit, six other schedules are missed by 0.0044 and 0.0053 nats "
    "on average (least squares: of the same rows 0.0043 and 0.0048, of all rows 0.0044 and 0.0044), and the 89 % band "
    "of a new run holds 87 and 78 % of the losses (docs/studies/schedules.md). The law is off at three times the steps "
    "and right after a drop of the rate; a short run with a decay looks to it as good as three times the steps "
    "without, which end 0.01 to 0.02 nats lower.",
)


@law(
    title="Learning-rate annealing law",
    source="Tissue et al. 2024, arXiv:2408.11029; formula as in arXiv:2505.07796, eq. (1)",
    equation=r"L = L_0 + A\,S_1^{-\alpha} - C\,(1-\lambda)\,S_2/\eta_0",
    covariates=AREAS,
    coefficients={
        "L0": Coefficient(
            positive(2.7, spread=0.3),
            "nats",
            "floor of this model on this data at a constant rate",
            between=0.15,
            seen_along="level",
            why="2.3 to 3.2 in fits to curves of 25M to 1.7B; a larger model has a lower one",
        ),
        **FORWARD,
        "C": Coefficient(
            positive(0.08, spread=0.5),
            "nats",
            "loss that a finished decay from the rate of 2e-4 to 0 removes",
            why="published fits give 0.05 to 0.12 (C of 0.26 to 0.6 at lambda 0.999)",
        ),
    },
    falls_in=("S1", "annealed"),
    paper_units=paper_units,
    path="step",
    notes=NOTES,
)
def lr_annealing(S1, annealed, /, *, L0, A, alpha, C):
    return L0 + A * S1**-alpha - C * annealed


@law(
    title="Learning-rate annealing law with model size",
    source="Tissue et al. 2024, arXiv:2408.11029; as used in arXiv:2505.07796, eq. (7)",
    equation=r"L = L_0 + A\,S_1^{-\alpha} + B\,(N/N_0)^{-\beta} - C\,(N/N_0)^{\gamma}\,(1-\lambda)\,S_2/\eta_0",
    covariates=AREAS | {"N": Covariate("parameters", "model size, without embeddings in the paper", reference=1e8)},
    coefficients={
        "L0": Coefficient(
            positive(1.85, spread=0.3),
            "nats",
            "floor of an infinite model",
            seen_along="level",
            why="1.83 and 1.86 in arXiv:2505.07796, figure 15; 1.6 to 1.9 in fits without a schedule",
        ),
        **FORWARD,
        "B": Coefficient(
            positive(1.2, spread=0.4),
            "nats",
            "part of the loss that size removes, at N0 = 1e8",
            between=0.3,
            seen_along="N",
            why="1.25 and 1.14 in arXiv:2505.07796, figure 15",
        ),
        "beta": Coefficient(
            positive(0.25, spread=0.4),
            "1",
            "exponent of size",
            between=0.15,
            why="0.19 in figure 15 of arXiv:2505.07796, 0.35 in Chinchilla's refit",
        ),
        "C": Coefficient(
            positive(0.06, spread=0.5),
            "nats",
            "loss that a finished decay from 2e-4 to 0 removes, at N0 = 1e8",
            why="0.05 to 0.07 by the constants of arXiv:2505.07796, figure 15",
        ),
        "gamma": Coefficient(
            real(0.15, sd=0.1),
            "1",
            "how the gain by annealing grows with size",
            between=0.05,
            why="0.01 to 0.24 in figure 15 of arXiv:2505.07796",
        ),
    },
    falls_in=("S1", "annealed", "N"),
    paper_units=paper_units_with_size,
    path="step",
    notes=NOTES,
)
def lr_annealing_size(S1, annealed, N, /, *, L0, A, alpha, B, beta, C, gamma):
    return L0 + A * S1**-alpha + B * N**-beta - C * N**gamma * annealed
