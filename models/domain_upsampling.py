"""Domain upsampling at the end of training: benchmark scores and losses against the length of the upsampled window.

Source: Blakeney et al. 2024, "Does your data spark joy? Performance gains from domain upsampling at the end of
training", arXiv:2406.03476. The paper measures and states no law; the forms are ours: a gain that saturates, less what
the window crowds out. Scores enter as error rates, 1 - score, so that less is better as with a loss.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, maximum, positive, real

SOURCE = "Blakeney et al. 2024, arXiv:2406.03476 (COLM 2024); the form is ours"
WINDOW = Covariate("1", "share of the training, at its end, that upsamples the domain", reference=0.1, valid=(0.0, 1.0))
RATE = "The loss is an error rate, 1 - score, below 1: `bl.read_scores` makes it of scores and refuses others."
FEW = (
    "The published table has five windows and one run per cell for four coefficients: the priors decide much of where "
    "the best window lies, so vary them (`bayeslaw.checks.prior_decides`)."
)

ODDS = Coefficient(
    real(-0.5, sd=1.0),
    "logit",
    "logit of the score without upsampling",
    why="scores between .08 and .82, twice out of three between .18 and .62: what benchmarks are chosen for",
    between=0.7,
)
GAIN = Coefficient(
    real(0.2, sd=0.25),
    "logit",
    "what the first tenth of the training brings, net of what it crowds out",
    why="the paper's gains of the first tenth lie between 0 and .4; below 0 where upsampling hurts at once",
    between=0.15,
)
REACH = Coefficient(
    positive(0.8, spread=0.7),
    "tenths of the training",
    "window that brings 63 % of what can be gained",
    why="the paper's benchmarks level off between a twentieth and a fifth of the training",
    between=0.3,
)
COST = Coefficient(
    positive(0.03, spread=1.0),
    "logit",
    "what every tenth of the training crowds out",
    why="between 20 and 30 % the paper's general benchmarks lose .02 to .12",
    between=0.3,
)


def reached(duration, tau):
    """How much of the first tenth's gain a window brings: 1 at one tenth, then saturating."""
    return (1 - exp(-duration / tau)) / (1 - exp(-1 / tau))


@law(
    title="Domain upsampling at the end of training",
    source=SOURCE,
    equation=r"L = \left[1 + \exp\left(a + (g + c)\,\frac{1 - e^{-d/\tau}}{1 - e^{-1/\tau}} - c\, d\right)\right]^{-1}",
    covariates={"duration": WINDOW},
    of_scores=True,
    coefficients={"a": ODDS, "g": GAIN, "tau": REACH, "c": COST},
    notes=(
        RATE,
        "The logit of the score gains g + c in the first tenth, ever less after it, and loses c in every tenth. With "
        "G = (g + c) / (1 - exp(-1 / tau)), the best window is tau log(G / (c tau)) tenths; none where G < c tau.",
        FEW,
        "A longer window is more domain tokens, more repeats and another part of the learning-rate schedule at once; "
        "the law cannot tell them apart.",
        "A score cannot fall below 0 or rise above 1; that guessing alone scores 1/4 of multiple-choice items is not "
        "taken off.",
    ),
)
def domain_upsampling(duration, /, *, a, g, tau, c):
    return 1 / (1 + exp(a + (g + c) * reached(duration, tau) - c * duration))


@law(
    title="Domain upsampling, in percentage points",
    source=SOURCE,
    equation=r"L = 1 - \left(a + (g + c)\,\frac{1 - e^{-d/\tau}}{1 - e^{-1/\tau}} - c\, d\right)",
    covariates={"duration": WINDOW},
    of_scores=True,
    coefficients={
        "a": Coefficient(
            real(0.4, sd=0.2), "1", "score without upsampling", why="benchmarks are chosen to be neither 0 nor 1"
        ),
        "g": Coefficient(
            real(0.04, sd=0.05),
            "1",
            "what the first tenth of the training brings, net of what it crowds out",
            why="the paper's gains of the first tenth lie between -.01 and .08",
            between=0.03,
        ),
        "tau": REACH,
        "c": Coefficient(
            positive(0.006, spread=1.0),
            "1",
            "what every tenth of the training crowds out",
            why="between 20 and 30 % the paper's general benchmarks lose .004 to .03",
            between=0.3,
        ),
    },
    notes=(
        RATE,
        "As domain_upsampling, in equal steps of the score itself (0.01 is one percentage point), which ends at 0.999.",
        FEW,
    ),
)
def domain_upsampling_points(duration, /, *, a, g, tau, c):
    return maximum(1 - (a + (g + c) * reached(duration, tau) - c * duration), 0.001)


@law(
    title="Domain upsampling without crowding out",
    source=SOURCE,
    equation=r"L = \left[1 + \exp\left(a + g\,\frac{1 - e^{-d/\tau}}{1 - e^{-1/\tau}}\right)\right]^{-1}",
    covariates={"duration": WINDOW},
    of_scores=True,
    coefficients={"a": ODDS, "g": GAIN, "tau": REACH},
    notes=("The rival of domain_upsampling in which a longer window never stops helping, only more slowly.", RATE),
)
def saturating_upsampling(duration, /, *, a, g, tau):
    return 1 / (1 + exp(a + g * reached(duration, tau)))


@law(
    title="Domain upsampling, quadratic",
    source=SOURCE,
    equation=r"L = \left[1 + \exp\left(a + s\, d - q\, d^2\right)\right]^{-1}",
    covariates={"duration": WINDOW},
    of_scores=True,
    coefficients={
        "a": ODDS,
        "s": Coefficient(
            real(0.2, sd=0.25),
            "logit",
            "rise per tenth of the training, at its start",
            why="the paper's gains of the first tenth lie between 0 and .4",
            between=0.15,
        ),
        "q": Coefficient(
            positive(0.04, spread=1.0),
            "logit",
            "how the rise bends back",
            why="the paper's general benchmarks turn between one and three tenths",
            between=0.3,
        ),
    },
    notes=("The rival of domain_upsampling with a parabola; its best window is s / (2 q) tenths.", RATE),
)
def quadratic_upsampling(duration, /, *, a, s, q):
    return 1 / (1 + exp(a + s * duration - q * duration**2))


@law(
    title="Domain upsampling, no effect",
    source=SOURCE,
    equation=r"L = \left[1 + e^{a}\right]^{-1}",
    covariates={"duration": WINDOW},
    of_scores=True,
    coefficients={"a": ODDS},
    notes=("The rival of domain_upsampling in which the window does nothing.", RATE),
)
def constant_upsampling(duration, /, *, a):
    return 1 / (1 + exp(a + 0 * duration))
