"""Learning dynamics of continual pre-training: annealing in both stages, and the shift of distribution.

Source: Wang, Tissue, Wang, Li, Zeng 2025, "Learning Dynamics in Continual Pre-Training for Large Language Models",
arXiv:2505.07796, eq. (4), (7), (8) and section on open models; eq. (6) is in `cpt_out_of_domain`.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, positive, real, where


def saturation(S1cpt, E, beta):
    """Share of the shift at the reference area that has happened: 0 at the transfer, 1 at the reference."""
    return (1 - (1 + E * S1cpt) ** -beta) / (1 - (1 + E) ** -beta)


def dilution(r, a):
    """Share of the whole shift that is left where the new corpus is only `r` of the stream: 0 at 0, 1 at 1."""
    a = where(a * a < 1e-12, 1e-6, a)
    return (1 - exp(-a * r)) / (1 - exp(-a))


def paper_units(reference, /, *, A, alpha, shift, E, beta, C_pt, C_cpt):
    """Return A, B and E as the paper writes them, and both C / (1 - lambda) in nats per unit of learning rate."""
    return {
        "A": A * reference["S1"] ** alpha,
        "B": shift / (1 - (1 + E) ** -beta),
        "E": E / reference["S1cpt"],
        "C_pt": C_pt / reference["annealed_pt"],
        "C_cpt": C_cpt / reference["annealed_cpt"],
    }


def paper_units_open(reference, /, *, A, alpha, S1pt, shift, E, beta, C_cpt):
    """Return the same without the terms that an unknown pre-training hides."""
    return {
        "A": A * reference["S1cpt"] ** alpha,
        "S1pt": S1pt * reference["S1cpt"],
        "B": shift / (1 - (1 + E) ** -beta),
        "E": E / reference["S1cpt"],
        "C_cpt": C_cpt / reference["annealed_cpt"],
    }


ANY = (-float("inf"), float("inf"))
S1 = Covariate("rate x steps", "forward area of both stages, S1pt + S1cpt")
S1CPT = Covariate("rate x steps", "forward area of continual pre-training", reference=4.0)
ANNEALED_PT = Covariate("rate", "learning rate annealed away in pre-training, (1 - lambda) S2pt", 2e-4, ANY)
ANNEALED_CPT = Covariate(
    "rate", "learning rate annealed away since, (1 - lambda) S2cpt; negative after a re-warm-up", 2e-4, ANY
)

L0 = Coefficient(
    positive(2.8, spread=0.3),
    "nats",
    "floor of this model on this validation set at a constant rate, without the shift",
    between=0.15,
    seen_along="level",
    why="2.50 to 3.07 for 106M to 1.7B; the smaller the model, the higher",
)
BASE = {
    "A": Coefficient(
        positive(0.48, spread=0.3),
        "nats",
        "part of the loss that the forward area removes, at S1 = 1 (5,000 steps at 2e-4)",
        seen_along="S1",
        why="0.41 to 0.57 in the fits that the paper prints",
    ),
    "alpha": Coefficient(
        positive(0.55, spread=0.25),
        "1",
        "exponent of the forward area",
        between=0.15,
        why="0.46 to 0.70 in the fits that the paper prints",
    ),
}
SHIFT = {
    "shift": Coefficient(
        real(0.0, sd=0.5),
        "nats",
        "what the change of corpus has added to the loss by S1cpt = 4 (20,000 steps at 2e-4); below 0 for a new domain",
        seen_along="S1cpt",
        why="0.2 to 1.0 up and 0.5 to 1.3 down in the paper's fits without replay; 0.02 up at two thirds of replay",
    ),
    "E": Coefficient(
        positive(200.0, spread=1.5),
        "1",
        "how fast the shift sets in, per 4 units of S1cpt",
        between=0.3,
        why="12 to 23,000 in the paper's fits (3 to 5,700 per unit): a fast shift is over within a few steps",
    ),
    "beta": Coefficient(
        positive(0.2, spread=0.7),
        "1",
        "exponent of the shift",
        between=0.2,
        why="0.15 to 0.6 where the paper's fits do not run away (to 0.001 with B = 29)",
    ),
}
C_PT = Coefficient(
    positive(0.06, spread=0.5),
    "nats",
    "loss that a finished decay from 2e-4 to 0 in pre-training removes",
    why="0.055 to 0.1 in the fits that the paper prints (C1 of 0.27 to 0.49)",
)
C_CPT = Coefficient(
    positive(0.06, spread=0.5),
    "nats",
    "loss that a finished decay from 2e-4 to 0 in continual pre-training removes",
    why="0.05 to 0.09 in the fits that the paper prints (C2 of 0.26 to 0.44)",
)
NOTES = (
    "One set of coefficients per validation set, shared by all schedules and transfer points.",
    "Runs that all continue one model do not say where the loss would be without the new corpus: L0 and a shift that "
    "is over before the first measurement then trade against each other. Give the curve of pre-training too, as a run "
    "whose before= is None.",
    "Coordinates: the paper's B, beta and E run away along a ridge (B = 29, beta = 0.001 in its figure 16), so the "
    "amplitude is the shift at the reference area; B = shift / (1 - (1 + E)^-beta).",
    "At a constant rate the critical point of pre-training is S1pt = (A / B)^(1 / alpha): from there on the loss of "
    "the old corpus does not come back to where it was.",
    "Read in the paper: equations and constants. Our reading: the annealing of pre-training is frozen at the transfer "
    "point, and the re-warm-up counts against S2cpt. The raw curves are not public: no fit could be repeated.",
    "C_pt and C_cpt are known only if the runs hold a decay in that stage.",
    "Lambda is a setting of read_curves, in steps: of real runs of 1,500 steps, schedules left out are missed by 0.028 "
    "nats with 0.999 and by 0.014 with 0.99 (bl.compare_memories). The check 'memory' says when another does better.",
    "A whole schedule scaled up, or steps at rate 0, improve the predicted loss: failures of the law, not advice.",
)


@law(
    title="Dynamics of continual pre-training",
    source="Wang et al. 2025, arXiv:2505.07796 (ICML 2025), eq. (4)",
    equation=r"L = L_0 + A\,S_1^{-\alpha} - C_{pt}\,(1-\lambda)\,S_2^{pt}/\eta_0 "
    r"- C_{cpt}\,(1-\lambda)\,S_2^{cpt}/\eta_0 + B\,[1-(1+E\,S_1^{cpt})^{-\beta}]",
    covariates={"S1": S1, "S1cpt": S1CPT, "annealed_pt": ANNEALED_PT, "annealed_cpt": ANNEALED_CPT},
    coefficients={"L0": L0, **BASE, **SHIFT, "C_pt": C_PT, "C_cpt": C_CPT},
    falls_in=("S1", "annealed_pt", "annealed_cpt"),
    paper_units=paper_units,
    path="step",
    notes=NOTES,
)
def cpt_dynamics(S1, S1cpt, annealed_pt, annealed_cpt, /, *, L0, A, alpha, shift, E, beta, C_pt, C_cpt):
    return L0 + A * S1**-alpha - C_pt * annealed_pt - C_cpt * annealed_cpt + shift * saturation(S1cpt, E, beta)


@law(
    title="Dynamics of continual pre-training with replay",
    source="Wang et al. 2025, arXiv:2505.07796 (ICML 2025), eq. (8), with another function of the share",
    equation=r"L = L_0 + A\,S_1^{-\alpha} - C_{pt}\,(1-\lambda)\,S_2^{pt}/\eta_0 "
    r"- C_{cpt}\,e^{b r_{cpt}}\,(1-\lambda)\,S_2^{cpt}/\eta_0 "
    r"+ B\,\frac{1-e^{-a r_{cpt}}}{1-e^{-a}}\,[1-(1+E\,S_1^{cpt})^{-\beta}]",
    covariates={
        "S1": S1,
        "S1cpt": S1CPT,
        "annealed_pt": ANNEALED_PT,
        "annealed_cpt": ANNEALED_CPT,
        "domain_share": Covariate("1", "share of the new corpus in the stream, the paper's r_cpt", valid=(0.0, 1.0)),
    },
    coefficients={
        "L0": L0,
        **BASE,
        **SHIFT,
        "a": Coefficient(
            real(0.0, sd=4.0),
            "1",
            "how the shift grows with the share: below 0 late, above 0 early",
            why="about -3.2 (general) and 5.7 (domain) by the paper's fits at four shares",
        ),
        "C_pt": C_PT,
        "C_cpt": C_CPT,
        "b": Coefficient(
            real(0.0, sd=0.2),
            "1",
            "how the gain by annealing grows with the share of the new corpus",
            why="-0.055 (general) and 0.037 (domain) in the paper's figure 19",
        ),
    },
    falls_in=("S1", "annealed_pt", "annealed_cpt"),
    paper_units=paper_units,
    path="step",
    notes=(
        "The printed factors 1 - exp(-a r) and exp(a r) - 1 contradict the paper's own fits at four shares (shift of "
        "the general loss 1 : 0.31 : 0.19 : 0.11, printed formula 1 : 0.92 : 0.83 : 0.68). Here one factor, 0 at share "
        "0 and 1 at share 1, has an exponent of either sign for each validation set.",
        "The paper lets the gain by annealing grow with the share of the corpus whose loss it is, 1 - r_cpt for the "
        "general loss; that is the same with b below 0 and C_cpt meant at share 0 of the new corpus.",
        *NOTES,
    ),
)
def cpt_dynamics_replay(
    S1, S1cpt, annealed_pt, annealed_cpt, domain_share, /, *, L0, A, alpha, shift, E, beta, a, C_pt, C_cpt, b
):
    moved = shift * dilution(domain_share, a) * saturation(S1cpt, E, beta)
    return L0 + A * S1**-alpha - C_pt * annealed_pt - C_cpt * exp(b * domain_share) * annealed_cpt + moved


@law(
    title="Dynamics of continual pre-training with model size",
    source="Wang et al. 2025, arXiv:2505.07796 (ICML 2025), eq. (7)",
    equation=r"L = L_0 + A\,S_1^{-\alpha} - C_{pt}\,n^{\gamma_{pt}}\,(1-\lambda)\,S_2^{pt}/\eta_0 "
    r"- C_{cpt}\,n^{\gamma_{cpt}}\,(1-\lambda)\,S_2^{cpt}/\eta_0 + B\,[1-(1+E\,S_1^{cpt})^{-\beta}] "
    r"+ F\,n^{-\delta},\quad n = N/N_0",
    covariates={
        "S1": S1,
        "S1cpt": S1CPT,
        "annealed_pt": ANNEALED_PT,
        "annealed_cpt": ANNEALED_CPT,
        "N": Covariate("parameters", "model size, without embeddings in the paper", reference=1e8),
    },
    coefficients={
        "L0": Coefficient(
            positive(1.85, spread=0.3),
            "nats",
            "floor of an infinite model, without the shift",
            seen_along="level",
            why="1.83 and 1.86 in the paper's figure 15",
        ),
        **BASE,
        **SHIFT,
        "C_pt": C_PT,
        "gamma_pt": Coefficient(
            real(0.15, sd=0.1),
            "1",
            "how the gain by annealing in pre-training grows with size",
            why="0.235 and 0.012 in the paper's figure 15: one of them next to nothing",
        ),
        "C_cpt": C_CPT,
        "gamma_cpt": Coefficient(
            real(0.15, sd=0.1),
            "1",
            "how the gain by annealing in continual pre-training grows with size",
            why="0.199 and 0.145 in the paper's figure 15",
        ),
        "F": Coefficient(
            positive(1.2, spread=0.4),
            "nats",
            "part of the loss that size removes, at N0 = 1e8",
            between=0.3,
            seen_along="N",
            why="1.25 and 1.14 in the paper's figure 15",
        ),
        "delta": Coefficient(
            positive(0.22, spread=0.4),
            "1",
            "exponent of size",
            between=0.15,
            why="0.19 in the paper's figure 15, 0.35 in Chinchilla's refit",
        ),
    },
    falls_in=("S1", "annealed_pt", "annealed_cpt", "N"),
    paper_units=paper_units,
    path="step",
    notes=(
        "The shift has no size in it: measured shifts of 106M, 594M and 1.7B nearly coincide.",
        "The paper counts N in millions (its constants then agree with its fits by size); C and F here belong to N0.",
        *NOTES,
    ),
)
def cpt_dynamics_size(
    S1,
    S1cpt,
    annealed_pt,
    annealed_cpt,
    N,
    /,
    *,
    L0,
    A,
    alpha,
    shift,
    E,
    beta,
    C_pt,
    gamma_pt,
    C_cpt,
    gamma_cpt,
    F,
    delta,
):
    decayed = C_pt * N**gamma_pt * annealed_pt + C_cpt * N**gamma_cpt * annealed_cpt
    return L0 + A * S1**-alpha - decayed + shift * saturation(S1cpt, E, beta) + F * N**-delta


@law(
    title="Dynamics of continual pre-training of an open model",
    source="Wang et al. 2025, arXiv:2505.07796 (ICML 2025), eq. (4) with unknown pre-training (figure 18)",
    equation=r"L = L_0 + A\,(S_1^{pt}+S_1^{cpt})^{-\alpha} - C_{cpt}\,(1-\lambda)\,S_2^{cpt}/\eta_0 "
    r"+ B\,[1-(1+E\,S_1^{cpt})^{-\beta}]",
    covariates={"S1cpt": S1CPT, "annealed_cpt": ANNEALED_CPT},
    coefficients={
        "L0": L0,
        "A": Coefficient(
            positive(0.23, spread=0.4),
            "nats",
            "part of the loss that the forward area of both stages removes, at S1 = 4",
            seen_along="S1cpt",
            why="0.41 to 0.57 at S1 = 1, times 4^-0.55",
        ),
        "alpha": BASE["alpha"],
        "S1pt": Coefficient(
            positive(2.0, spread=1.0),
            "4 rate x steps",
            "forward area that the unknown pre-training had covered",
            between=0.3,
            why="40,000 steps at 2e-4 give 8, which is 2 here; 0.1 to 5.2 in the paper's fits of two models",
        ),
        **SHIFT,
        "C_cpt": C_CPT,
    },
    falls_in=("annealed_cpt",),
    paper_units=paper_units_open,
    path="step",
    notes=(
        "Read the runs with before=schedules.unknown(): the last rate of pre-training is taken as 0, as in the paper, "
        "and what it had annealed is part of L0.",
        "S1pt, A, alpha and L0 can hardly be told apart (the paper's fit ran to A = 11, alpha = 7): give S1pt a prior "
        "from what is known of the model.",
        "Measure the first steps too: by the constants of figure 3 half the shift of the domain loss is over by step "
        "100, and without its beginning L0, E and the shift are what the priors say.",
        *NOTES[2:],
    ),
)
def cpt_dynamics_open(S1cpt, annealed_cpt, /, *, L0, A, alpha, S1pt, shift, E, beta, C_cpt):
    return L0 + A * (S1pt + S1cpt) ** -alpha - C_cpt * annealed_cpt + shift * saturation(S1cpt, E, beta)
