"""The other parameterisations that the D-CPT paper compares with its own: L1, L2, L4, L5, L6 and L7.

Source: Que et al. 2024, "D-CPT Law: Domain-specific Continual Pre-Training Scaling Law for Large Language Models",
arXiv:2406.01375: L1 to L5 in its comparison, L6 and L7 in appendix E.4. What they share with L3 is in `dcpt`.
"""

from bayeslaw.declare import Coefficient, exp, law, positive
from bayeslaw.models.dcpt import COEFFICIENTS, COVARIATES, paper_units


def paper_units_of_l5(reference, /, *, A, alpha, B, beta, sigma_other):
    """Return A, B and sigma_other as the paper writes them, for N and D in billions."""
    amplitudes = paper_units(reference, A=A, alpha=alpha, B=B, beta=beta)
    return {**amplitudes, "sigma_other": sigma_other * reference["D"] / 1e9}


SOURCE = "Que et al. 2024, arXiv:2406.01375 (NeurIPS 2024), parameterisation"
REQUIRED = {"evals": ("general", "domain"), "falls_in": ("N", "D", "share"), "falls_faster": (("D", "share"),)}
"""What the paper requires of every form, whether it can do it or not."""

UNPUBLISHED = "The paper prints no fitted coefficients; r is the share of the corpus whose loss is predicted."

SIZE = {name: COEFFICIENTS[name] for name in ("E", "A", "alpha")}
TOKENS = {name: COEFFICIENTS[name] for name in ("B", "beta")}
OWN_SHARE = {name: COEFFICIENTS[name] for name in ("C", "gamma", "eps")}

AT_SHARE_0 = Coefficient(
    positive(0.05, spread=1.0),
    "nats",
    "part that tokens remove, at D0 and share 0",
    between=0.3,
    seen_along="D",
    why="as in L3 the part at share 1 is about a tenth of a nat, and this is it divided by e or more",
)

EFFECTIVE = Coefficient(
    positive(0.3, spread=1.0),
    "nats",
    "part that D0 tokens of the corpus itself remove",
    between=0.3,
    seen_along="D",
    why="this term alone carries both what tokens remove and what the share does: about the two of L3 together",
)


@law(
    title="D-CPT, form L1",
    source=f"{SOURCE} L1",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,(D/D_0)^{-\beta} + C\,(r+\varepsilon)^{-\gamma}",
    covariates=COVARIATES,
    coefficients={**SIZE, **TOKENS, **OWN_SHARE},
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "Tokens and share do not meet: the loss falls as fast in tokens at any share, so that the paper's implicit "
        "trend (faster where the share is larger) fails for every value of the coefficients.",
        "Mean of the paper's six domains, as transcribed by others: R2 0.9945 (general) and 0.9767 (domain), against "
        "0.9968 and 0.9796 of L3; Huber 0.0064 and 0.0169 against 0.0048 and 0.0157.",
        UNPUBLISHED,
    ),
)
def dcpt_l1(N, D, share, /, *, E, A, alpha, B, beta, C, gamma, eps):
    return E + A * N**-alpha + B * D**-beta + C * (share + eps) ** -gamma


@law(
    title="D-CPT, form L2",
    source=f"{SOURCE} L2",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + \left(B\,(D/D_0)^{-\beta} + C\,(r+\varepsilon)^{-\gamma}\right)^{\eta}",
    covariates=COVARIATES,
    coefficients={
        **SIZE,
        "B": Coefficient(
            positive(0.15, spread=1.0),
            "nats^(1/eta)",
            "token term inside the power, at D0",
            between=0.3,
            why="as in L3, which this is at eta = 1 but for the share in its token term",
        ),
        "beta": COEFFICIENTS["beta"],
        "C": Coefficient(
            positive(0.4, spread=0.8),
            "nats^(1/eta)",
            "share term inside the power",
            between=0.3,
            why="as in L3, which has the same term outside of a power",
        ),
        "gamma": COEFFICIENTS["gamma"],
        "eps": COEFFICIENTS["eps"],
        "eta": Coefficient(
            positive(1.0, spread=0.4),
            "1",
            "power of tokens and share together; below 1 tokens help more at a larger share",
            between=0.15,
            why="1 adds the two up; half and double bend the sum about as much as shares bend the token term of L3",
        ),
    },
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "At a fixed share it is no Chinchilla law unless eta is 1: the paper's consistency fails. The loss falls "
        "faster in tokens at a larger share only if eta is below 1.",
        "Mean of the paper's six domains, as transcribed by others: R2 0.9965 (general) and 0.9783 (domain), against "
        "0.9968 and 0.9796 of L3; Huber 0.0050 and 0.0166 against 0.0048 and 0.0157.",
        UNPUBLISHED,
    ),
)
def dcpt_l2(N, D, share, /, *, E, A, alpha, B, beta, C, gamma, eps, eta):
    return E + A * N**-alpha + (B * D**-beta + C * (share + eps) ** -gamma) ** eta


@law(
    title="D-CPT, form L4",
    source=f"{SOURCE} L4",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,b^{r}\,(D/D_0)^{-\beta} + C\,c^{-r}",
    covariates=COVARIATES,
    coefficients={
        **SIZE,
        "B": AT_SHARE_0,
        "b": Coefficient(
            positive(4.0, spread=0.8),
            "1",
            "how many times more tokens remove at share 1 than at share 0",
            between=0.3,
            why="e in L6; in L3, where they remove nothing at share 0, 16 times from a tenth to all of the stream",
        ),
        "beta": COEFFICIENTS["beta"],
        "C": Coefficient(
            positive(0.6, spread=0.8),
            "nats",
            "part that the corpus' own share removes, at share 0",
            between=0.3,
            seen_along="share",
            why="from share 0 to all of the stream the loss falls by about 0.1 to 1 nat",
        ),
        "c": Coefficient(
            positive(4.0, spread=0.6),
            "1",
            "by how much the whole stream divides that part",
            between=0.3,
            why="the share term of L3 falls two- to tenfold from share 0 to share 1",
        ),
    },
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "The paper: fails the explicit trends. An exponential cannot fall as steeply at small shares as losses do and "
        "still fall at large ones, where the token term rises: the fitted loss then rises in its own share.",
        "Mean of the paper's six domains, as transcribed by others: R2 0.9936 (general) and 0.9784 (domain), against "
        "0.9968 and 0.9796 of L3; Huber 0.0066 and 0.0160 against 0.0048 and 0.0157.",
        UNPUBLISHED,
    ),
)
def dcpt_l4(N, D, share, /, *, E, A, alpha, B, b, beta, C, c):
    return E + A * N**-alpha + B * b**share * D**-beta + C * c**-share


@law(
    title="D-CPT, form L5",
    source=f"{SOURCE} L5",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,\left(r\,\frac{D}{D_0} + (1-r)\,\sigma\right)^{-\beta}",
    covariates=COVARIATES,
    coefficients={
        **SIZE,
        "B": EFFECTIVE,
        "beta": COEFFICIENTS["beta"],
        "sigma_other": Coefficient(
            positive(0.1, spread=1.5),
            "D0",
            "the paper's sigma: tokens of the corpus itself that a stream without it is worth, as a multiple of D0",
            between=0.3,
            why="anything from a hundredth of the reference tokens to all of them",
        ),
    },
    paper_units=paper_units_of_l5,
    **REQUIRED,
    notes=(
        "The equation is read by machine with (1 - r) sigma, without D: the other corpus is worth a fixed number of "
        "tokens, however long the run. dcpt_l5_effective has sigma D in its place.",
        "Mean of the paper's six domains, as transcribed by others: R2 0.9496 (general) and 0.9512 (domain), against "
        "0.9968 and 0.9796 of L3: clearly worse, with the fewest coefficients.",
        UNPUBLISHED,
    ),
)
def dcpt_l5(N, D, share, /, *, E, A, alpha, B, beta, sigma_other):
    return E + A * N**-alpha + B * (share * D + (1 - share) * sigma_other) ** -beta


@law(
    title="D-CPT, form L5 read as effective data",
    source=f"{SOURCE} L5 with sigma D in place of sigma",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,\left((r + (1-r)\,\sigma)\,\frac{D}{D_0}\right)^{-\beta}",
    covariates=COVARIATES,
    coefficients={
        **SIZE,
        "B": EFFECTIVE,
        "beta": COEFFICIENTS["beta"],
        "sigma_other": Coefficient(
            positive(0.2, spread=1.0),
            "1",
            "the paper's sigma: worth of a token of the other corpus, in tokens of the corpus itself",
            between=0.3,
            why="text of another kind helps, and less than text of the kind that is tested",
        ),
    },
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "Not what is printed (dcpt_l5), but what effective data would mean: every token of the other corpus is worth "
        "sigma tokens of the corpus itself.",
        "Where sigma is below 1 the loss falls faster in tokens at a smaller share: the paper's implicit trend turned "
        "round.",
        UNPUBLISHED,
    ),
)
def dcpt_l5_effective(N, D, share, /, *, E, A, alpha, B, beta, sigma_other):
    return E + A * N**-alpha + B * ((share + (1 - share) * sigma_other) * D) ** -beta


@law(
    title="D-CPT, form L6",
    source=f"{SOURCE} L6 (appendix E.4)",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,e^{r}\,(D/D_0)^{-\beta} + C\,(r+\varepsilon)^{-\gamma}",
    covariates=COVARIATES,
    coefficients={**SIZE, "B": AT_SHARE_0, "beta": COEFFICIENTS["beta"], **OWN_SHARE},
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "The paper: meets all four requirements, with a fit close to that of L3 and one coefficient less. Its table of "
        "them was not found.",
        "Unlike L3 the loss falls with tokens at share 0 too. As there, it falls in its own share only where C is "
        "large enough beside B.",
        UNPUBLISHED,
    ),
)
def dcpt_l6(N, D, share, /, *, E, A, alpha, B, beta, C, gamma, eps):
    return E + A * N**-alpha + B * exp(share) * D**-beta + C * (share + eps) ** -gamma


@law(
    title="D-CPT, form L7",
    source=f"{SOURCE} L7 (appendix E.4)",
    equation=r"L = E + A\,(N/N_0)^{-\alpha} + B\,(r+\varepsilon)^{\eta}\,(D/D_0)^{-\beta}"
    r" + C\,(r+\varepsilon)^{-\gamma}",
    covariates=COVARIATES,
    coefficients=COEFFICIENTS,
    paper_units=paper_units,
    **REQUIRED,
    notes=(
        "The paper: meets all four requirements, with a fit close to that of L3. Its table of them was not found.",
        "Both terms know the share as r + eps, so that tokens count a little at share 0 too. As in L3, the loss falls "
        "in its own share only where C is large enough beside B.",
        UNPUBLISHED,
    ),
)
def dcpt_l7(N, D, share, /, *, E, A, alpha, B, beta, eta, C, gamma, eps):
    return E + A * N**-alpha + B * (share + eps) ** eta * D**-beta + C * (share + eps) ** -gamma
