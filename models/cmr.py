"""The CMR laws: loss against the share of the new domain, loss against tokens, and the critical mixture ratio.

`cmr` holds the general and the domain loss of the same runs, `cmr_general` and `cmr_domain` one of the two.

Source: Gu et al. 2024, "CMR Scaling Law: Predicting Critical Mixture Ratios for Continual Pre-training of Language
Models", arXiv:2407.17467 (EMNLP 2024), section 4 and eq. (6) to (8).
"""

from dataclasses import replace

from bayeslaw.declare import Coefficient, Covariate, exp, law, log, maximum, positive, real, where


def inner(share):
    """Share of the new domain, kept in the laws' range: at 0 and 1 they have no value."""
    return -maximum(-maximum(share, 0.05), -0.95)


def box_cox(x, s):
    """(x^s - 1) / s: a power law that has 0 and slope 1 at x = 1, and is the logarithm at s = 0."""
    s = where(s * s < 1e-12, 1e-6, s)
    return (x**s - 1) / s


def rise(D, share, h, p, s, odds_ref, kappa):
    """General loss above its start: it peaks where the tokens are those of the turning point."""
    share = inner(share)
    x = maximum(D * (odds_ref * (1 - share) / share) ** (1 / kappa), 1e-12)
    return h * exp(p * (2 * share - 1)) * x**s * (1 - s * log(x))


def fall(D, share, k_R, p, k_D, s):
    """Domain loss below that of half of the stream at the reference tokens."""
    return k_R * box_cox(2 * inner(share), p) + k_D * box_cox(D, s)


def turning_point(share, /, *, odds_ref, kappa):
    """Tokens (in reference units) at which the general loss stops rising."""
    return (share / (1 - share) / odds_ref) ** (1 / kappa)


def critical_share(D, /, *, odds_ref, kappa):
    """Critical mixture ratio after those tokens (in reference units): the inverse of `turning_point`."""
    odds = odds_ref * D**kappa
    return odds / (1 + odds)


def paper_units(*, odds_ref):
    """Return the critical mixture ratio at the reference tokens."""
    return {"R_ref": odds_ref / (1 + odds_ref)}


TOKENS = Covariate("tokens", "tokens of continual pre-training", reference=2e10)
SHARE = Covariate(
    "1", "share of the new domain in the stream, R", valid=(0.05, 0.95), derive=lambda domain_share: domain_share
)
NOTES = (
    "Shares of 0 and 1 are left out of the fit, as in the paper. Outside 0.05 to 0.95 the laws return their value at "
    "that end.",
    "Three rules are called critical ratio. turning point: the largest share whose general loss has begun to fall "
    "again by the end of the tokens (the paper's, for a large multiplier lambda). tolerance: the largest share within "
    "a limit of the general loss. break even: no rise at all. The paper's limit of 0.05 nats never binds below share 1 "
    "in its own tables.",
    "Known only up to 20e9 tokens and 3.1e9 parameters in the paper; there is no law in size, so sizes are pooled.",
    "Its definitions and equations were read in the paper, its tables in a transcription that agrees with the text; "
    "the optimiser and a table of general losses are not published.",
)


@law(
    title="CMR: loss against the share of the new domain",
    source="Gu et al. 2024, arXiv:2407.17467, section 4: loss at the last step",
    equation=r"L = L_{ref} - k\,\frac{(2R)^{s}-1}{s}",
    covariates={"share": SHARE},
    coefficients={
        "L_ref": Coefficient(
            positive(2.0, spread=0.5),
            "nats",
            "loss where half of the stream is the new domain",
            seen_along="level",
            why="losses of language models after continual pre-training lie between 1 and 4 nats",
        ),
        "k": Coefficient(
            real(0.0, sd=0.1),
            "nats",
            "fall of the loss as the share grows e-fold; below 0 for the general loss",
            seen_along="share",
            why="0.06 to 0.08 for the domain loss in the paper's table 2",
        ),
        "s": Coefficient(
            real(0.4, sd=0.35),
            "1",
            "exponent of the share",
            between=0.15,
            why="0.16 to 0.20 for the domain loss; about 1 for the general loss",
        ),
    },
    notes=(
        "The paper writes alpha R^s + beta, whose three coefficients trade off; alpha = -k 2^s / s.",
        *NOTES,
    ),
)
def cmr_ratio(share, /, *, L_ref, k, s):
    return L_ref - k * box_cox(2 * inner(share), s)


@law(
    title="CMR: domain loss against tokens and share",
    source="Gu et al. 2024, arXiv:2407.17467, eq. (6) and loss against share, joined",
    equation=r"L = L_{ref} - k_R\,\frac{(2R)^{p}-1}{p} - k_D\,\frac{(D/D_0)^{s}-1}{s}",
    covariates={"D": TOKENS, "share": SHARE},
    coefficients={
        "L_ref": Coefficient(
            positive(1.8, spread=0.5),
            "nats",
            "domain loss where half of the stream is the new domain, at the reference tokens",
            seen_along="level",
            why="1.3 to 1.5 in the paper, up to 4 for tiny models",
        ),
        "k_R": Coefficient(
            positive(0.08, spread=0.7),
            "nats",
            "fall of the loss as the share grows e-fold",
            seen_along="share",
            why="0.06 to 0.08 in the paper's table 2",
        ),
        "p": Coefficient(
            real(0.2, sd=0.4),
            "1",
            "exponent of the share",
            between=0.15,
            why="0.16 to 0.20 in the paper, nearly logarithmic",
        ),
        "k_D": Coefficient(
            positive(0.05, spread=0.7),
            "nats",
            "fall of the loss as the tokens grow e-fold",
            seen_along="D",
            why="0.045 to 0.06 in the paper's table 4",
        ),
        "s": Coefficient(
            real(0.0, sd=0.3),
            "1",
            "exponent of tokens",
            between=0.15,
            why="-0.08 to 0.11 in the paper's table 4, mostly 0: a logarithm in disguise",
        ),
    },
    evals=("domain",),
    falls_in=("D", "share"),
    notes=(
        "The paper fits alpha T^s + beta at every share by itself; most of its fits end at s = -0.0002 with alpha near "
        "260, the logarithm that this form holds at s = 0. That shares and tokens add up is our simplification.",
        *NOTES,
    ),
)
def cmr_domain(D, share, /, *, L_ref, k_R, p, k_D, s):
    return L_ref - fall(D, share, k_R, p, k_D, s)


@law(
    title="CMR: general loss against tokens and share, with the critical ratio",
    source="Gu et al. 2024, arXiv:2407.17467, eq. (6) and (8), joined",
    equation=r"L = L_{start} + h\,e^{p\,(2R-1)}\,x^{s}\,(1 - s\,\ln x),\quad "
    r"x = \frac{D}{D_0}\,\left(\frac{\omega_{ref}}{\omega}\right)^{1/\kappa},\quad \omega = \frac{R}{1-R}",
    covariates={"D": TOKENS, "share": SHARE},
    coefficients={
        "L_start": Coefficient(
            positive(2.5, spread=0.4),
            "nats",
            "general loss that the curves leave from",
            seen_along="level",
            why="the loss of the base model, 2 to 4 nats; a baseline that was measured is better",
        ),
        "h": Coefficient(
            positive(0.015, spread=0.6),
            "nats",
            "height of the peak where half of the stream is the new domain",
            between=0.3,
            why="0.008 to 0.018 by the paper's table 4; tiny models reach 0.1 and more, and need a prior of their own",
        ),
        "p": Coefficient(
            positive(1.4, spread=0.3),
            "1",
            "how the height grows with the share: by exp(p) from none to half, and from half to all",
            between=0.15,
            why="1.6, 1.5, 1.3 and 0.9 by the turning points of the paper's table 4",
        ),
        "s": Coefficient(
            positive(0.5, spread=0.18),
            "1",
            "exponent of tokens",
            between=0.15,
            why="0.48 to 0.64 in the paper's table 4",
        ),
        "odds_ref": Coefficient(
            positive(0.6, spread=0.8),
            "1",
            "odds of the new domain whose general loss turns at the reference tokens",
            between=0.2,
            why="0.4 to 0.9 (ratios of 0.30 to 0.48) at 20e9 tokens in the paper; public runs of small models reach 10",
        ),
        "kappa": Coefficient(
            positive(1.1, spread=0.2),
            "1",
            "exponent with which the critical odds grow with tokens",
            between=0.15,
            why="0.7 to 2 between the turning points of the paper's table 4, most near 1",
        ),
    },
    evals=("general",),
    paper_units=paper_units,
    notes=(
        "The paper's two powers of tokens have exponents 0.003 to 0.006 apart and opposite factors; in that limit they "
        "are T^s (a - b ln T), written here with the turning point (x = 1) and the height of the peak.",
        "The paper fits every share by itself. That the height is an exponential of the share is ours: it misses the "
        "peaks of table 4 by .5 to 5 %, a power of it by 10 to 12 %. The law bends too far down below a share of 0.1.",
        "The critical ratio is the share whose turning point lies at those tokens. Its odds are a power of tokens, so "
        "it stays inside (0, 1); the paper's law of it, a power plus a constant through four points, does not. "
        "The points of the paper's 3.1B model bend more than a power of the odds can.",
        *NOTES,
    ),
)
def cmr_general(D, share, /, *, L_start, h, p, s, odds_ref, kappa):
    return L_start + rise(D, share, h, p, s, odds_ref, kappa)


JOINT = {"general": cmr_general.coefficients, "domain": cmr_domain.coefficients}


def of_role(role, name):
    """Return a coefficient of the law of one loss, for that loss alone in the law of both."""
    return replace(JOINT[role][name], role=role, seen_along=None)


@law(
    title="CMR: general and domain loss against tokens and share, in one fit",
    source="Gu et al. 2024, arXiv:2407.17467, eq. (6) and (8), joined",
    equation=r"L_{gen} = L + h\,e^{p\,(2R-1)}\,x^{s}\,(1 - s\,\ln x),\quad "
    r"L_{dom} = L - k_R\,\frac{(2R)^{s_R}-1}{s_R} - k_D\,\frac{(D/D_0)^{s_D}-1}{s_D}",
    covariates={
        "D": TOKENS,
        "share": SHARE,
        "general": Covariate(
            "1", "1 for the general loss, 0 for the domain loss", derive=lambda eval: where(eval == "general", 1.0, 0.0)
        ),
    },
    coefficients={
        "L": Coefficient(
            positive(2.1, spread=0.5),
            "nats",
            "general loss that the curves leave from; domain loss at a share of half and the reference tokens",
            seen_along="level",
            why="2 to 4 nats of general loss, and domain losses of 1.3 to 1.5 in the paper, up to 4 for tiny models",
        ),
        **{name: of_role("general", name) for name in ("h", "p", "s", "odds_ref", "kappa")},
        "k_R": of_role("domain", "k_R"),
        "s_R": of_role("domain", "p"),
        "k_D": of_role("domain", "k_D"),
        "s_D": of_role("domain", "s"),
    },
    evals=("general", "domain"),
    paper_units=paper_units,
    notes=(
        "It is cmr_general and cmr_domain, each with its own coefficients; what ties the losses is the error of a run, "
        "correlated between both. x is the tokens over those of the turning point, as in cmr_general.",
        "The paper's goal, domain loss + lambda x general loss, takes one fit: critical_ratio(rule='turning-point', "
        "weight=1000).",
        *NOTES,
    ),
)
def cmr(D, share, general, /, *, L, h, p, s, odds_ref, kappa, k_R, s_R, k_D, s_D):
    return L + where(general > 0.5, rise(D, share, h, p, s, odds_ref, kappa), -fall(D, share, k_R, s_R, k_D, s_D))
