"""The cross-domain D-CPT law: one law for all domains, whose floors are told by early training.

Source: Que et al. 2024, "D-CPT Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models",
arXiv:2406.01375, section 5 (cross-domain D-CPT law) and appendix H (the learnable coefficient).
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, share
from bayeslaw.models.dcpt import COEFFICIENTS, COVARIATES, dcpt, paper_units

SOURCE = "Que et al. 2024, arXiv:2406.01375 (NeurIPS 2024), cross-domain law"
EQUATION = (
    r"L = E + A\,(N/N_0)^{-\alpha} + B\,r^{\eta}\,(D/D_0)^{-\beta} + C\,(r+\varepsilon)^{-\gamma}"
    r" + F\,K^{-\mu},\quad K = "
)

K1 = Covariate("nats", "the domain's loss after 1,000 steps", 2.0, (0.1, 10), of="domain")
K2 = Covariate("nats", "its drop from before training to 5,000 steps", 0.5, (1e-3, 10), of="domain")
K3 = Covariate("nats", "that drop less the one from 5,000 to 10,000 steps", 0.4, (1e-3, 10), of="domain")

SHARED = {
    **COEFFICIENTS,
    "E": Coefficient(
        positive(0.8, spread=0.5),
        "nats",
        "loss floor, without the domain's part; pooled by domain, what its early training does not tell",
        between=0.15,
        seen_along="level",
        why="the easiest domain (music, code) ends at 0.7 nats or more; what lies above it is for F",
    ),
    "F": Coefficient(
        positive(0.7, spread=0.7),
        "nats",
        "the domain's part of the floor at K = 1",
        between=0.3,
        why="floors of published domains lie up to 2.5 nats apart (music to medicine)",
    ),
    "mu": Coefficient(
        positive(1.0, spread=0.5),
        "1",
        "exponent of the learnability K",
        between=0.15,
        why="1 makes the domain's part proportional to the loss early in training; few domains can tell little more",
    ),
}

WEIGHT_OF_K1 = Coefficient(
    share(0.5, weight=4),
    "1",
    "share of k1 in K at the reference of the features",
    why="neither feature is known to matter more",
)

NOTES = (
    "Direction: a larger K means a lower loss, so K says how easily the domain is learned. Some notes on the paper "
    "call the domain with the smaller value the easier one: by this formula it is the harder one.",
    "With by={'E': 'domain'} every domain has a floor of its own around what its K announces: E + F K^-mu in "
    "nats is what the data see of a domain, and the spread of E is learned. Without it, this is the paper's law, which "
    "leaves a domain nothing of its own.",
    "The paper's weights of K and its F are tied (a factor in all weights is a factor in F), so here K is 1 at the "
    "reference of the features and its weights sum to 1.",
    "E trades against F K^-mu, and a handful of domains says little on mu and the weights: expect their priors back, "
    "and look at their sensitivity.",
    "k1, k2 and k3 are columns of the table, one value per domain; bayeslaw.early_features reads them and takes the "
    "rows they came from out of the likelihood. At which size and share they are read the paper does not say.",
    "The rival is richer: dcpt with by={'E': 'domain', 'B': 'domain', 'C': 'domain'}.",
    "What is said of dcpt on range, trends and ridges holds here.",
)


def learnability(K, F, mu):
    """Return K and the domain's part of the floor."""
    return {"K": K, "part": F * K**-mu}


def form_k3(k1, k2, /, *, mu, w, F):
    return learnability(w / k1 + (1 - w) * k2, F, mu)


def form_k1(k1, /, *, mu, F):
    return learnability(1 / k1, F, mu)


def form_k2(k2, /, *, mu, F):
    return learnability(k2, F, mu)


def form_k4(k1, k2, k3, /, *, mu, w, v, F):
    return learnability(w / k1 + (1 - w) * (v * k2 + (1 - v) / k3), F, mu)


def card(title, form, covariates, weights, notes, learnability):
    """Return what the four representations of K have in common."""
    return {
        "title": f"Cross-domain D-CPT law ({title})",
        "source": f"{SOURCE}, {form.split(' ')[0]}",
        "equation": EQUATION + form.split(" ", 1)[1],
        "covariates": {**COVARIATES, **covariates},
        "coefficients": {**SHARED, **weights},
        "evals": dcpt.evals,
        "falls_in": dcpt.falls_in,
        "falls_faster": dcpt.falls_faster,
        "sufficient_shape": dcpt.sufficient_shape,
        "paper_units": paper_units,
        "learnability": learnability,
        "notes": (*notes, *NOTES),
    }


@law(
    **card(
        "K3",
        r"K3 \frac{w}{k_1} + (1-w)\,k_2",
        {"k1": K1, "k2": K2},
        {"w": WEIGHT_OF_K1},
        (
            "The representation that the paper chooses: best on domains left out (4 of 6 fitted, 15 splits); in sample "
            "K4 is slightly better with one weight more. Its numbers were not found.",
        ),
        form_k3,
    )
)
def cross_domain_dcpt(N, D, share, k1, k2, /, *, E, A, alpha, B, beta, eta, C, gamma, eps, F, mu, w):
    shared = dcpt(N, D, share, E=E, A=A, alpha=alpha, B=B, beta=beta, eta=eta, C=C, gamma=gamma, eps=eps)
    return shared + form_k3(k1, k2, mu=mu, w=w, F=F)["part"]


@law(
    **card(
        "K1",
        r"K1 \frac{1}{k_1}",
        {"k1": K1},
        {},
        ("The paper: as good as the others on the general loss, visibly worse on the domain loss.",),
        form_k1,
    )
)
def cross_domain_dcpt_k1(N, D, share, k1, /, *, E, A, alpha, B, beta, eta, C, gamma, eps, F, mu):
    shared = dcpt(N, D, share, E=E, A=A, alpha=alpha, B=B, beta=beta, eta=eta, C=C, gamma=gamma, eps=eps)
    return shared + form_k1(k1, mu=mu, F=F)["part"]


@law(
    **card(
        "K2",
        "K2 k_2",
        {"k2": K2},
        {},
        ("The paper: as good as the others on the general loss, visibly worse on the domain loss.",),
        form_k2,
    )
)
def cross_domain_dcpt_k2(N, D, share, k2, /, *, E, A, alpha, B, beta, eta, C, gamma, eps, F, mu):
    shared = dcpt(N, D, share, E=E, A=A, alpha=alpha, B=B, beta=beta, eta=eta, C=C, gamma=gamma, eps=eps)
    return shared + form_k2(k2, mu=mu, F=F)["part"]


@law(
    **card(
        "K4",
        r"K4 \frac{w}{k_1} + (1-w)\left(v\,k_2 + \frac{1-v}{k_3}\right)",
        {"k1": K1, "k2": K2, "k3": K3},
        {
            "w": WEIGHT_OF_K1,
            "v": Coefficient(
                share(0.5, weight=4),
                "1",
                "share of k2 in what k1 leaves of K, at the reference of the features",
                why="neither feature is known to matter more",
            ),
        },
        (
            "The paper: slightly better than K3 in sample, with one weight more, and not on domains left out.",
            "The paper defines k3 as a second difference and then writes it as the drop from before training to 10,000 "
            "steps, which it is not. bayeslaw.early_features takes the second difference unless asked for the other.",
        ),
        form_k4,
    )
)
def cross_domain_dcpt_k4(N, D, share, k1, k2, k3, /, *, E, A, alpha, B, beta, eta, C, gamma, eps, F, mu, w, v):
    shared = dcpt(N, D, share, E=E, A=A, alpha=alpha, B=B, beta=beta, eta=eta, C=C, gamma=gamma, eps=eps)
    return shared + form_k4(k1, k2, k3, mu=mu, w=w, v=v, F=F)["part"]
