"""Domain upsampling at the end of training: a loss or error rate against the length of the upsampled window.

Source: Blakeney et al. 2024, "Does your data spark joy? Performance gains from domain upsampling at the end of
training", arXiv:2406.03476. The paper states no law; this one is ours.
"""

from bayeslaw.law import Coefficient, Covariate, exp, law
from bayeslaw.priors import positive, real

WINDOW = Covariate("1", "share of the training, at its end, that upsamples the domain", reference=0.1, valid=(0.0, 1.0))

START = Coefficient(
    positive(0.7, spread=0.7),
    "nats or error rate",
    "loss, or error rate (1 minus the score), without upsampling",
    why="error rates lie below 1, losses of code and text between 0.5 and 3 nats",
)
GAIN = Coefficient(
    real(0.1, sd=0.15),
    "1",
    "logarithm of the factor by which a long window would divide it",
    between=0.1,
    why="the paper's largest gains take a tenth of the errors away; below 0 where upsampling hurts at once",
)
REACH = Coefficient(
    positive(0.8, spread=0.7),
    "tenths of the training",
    "window that brings 63 % of the gain",
    between=0.3,
    why="the paper's benchmarks level off between a twentieth and a fifth of the training",
)


@law(
    title="Domain upsampling at the end of training",
    source="Blakeney et al. 2024, arXiv:2406.03476 (COLM 2024); the form is ours",
    equation=r"L = L_0 \exp\left(-g \left(1 - e^{-d/\tau}\right) + c\, d\right)",
    covariates={"duration": WINDOW},
    coefficients={
        "L0": START,
        "g": GAIN,
        "tau": REACH,
        "c": Coefficient(
            positive(0.015, spread=1.0),
            "1",
            "logarithm of the factor by which every tenth of the training multiplies it: what is crowded out",
            between=0.5,
            why="between 20 and 30 % the paper's general benchmarks lose about 1 % of their error rate",
        ),
    },
    notes=(
        "The paper prints no law. The gain saturates and the crowding out does not; with g > c tau the best window is "
        "d = tau log(g / (c tau)), in tenths of the training, otherwise none.",
        "Scores enter as error rates: 1 - score in [0, 1] as the loss. Then equal steps on the log scale are equal "
        "relative changes of the error rate, and no score leaves [0, 1].",
        "The published table has five windows and one run per cell for four coefficients: the priors decide where the "
        "best window lies, so vary them.",
        "A longer window is more domain tokens, more repeats and another part of the learning-rate schedule at once; "
        "the law cannot tell them apart.",
    ),
)
def domain_upsampling(duration, /, *, L0, g, tau, c):
    return L0 * exp(-g * (1 - exp(-duration / tau)) + c * duration)


@law(
    title="Domain upsampling without crowding out",
    source="Blakeney et al. 2024, arXiv:2406.03476 (COLM 2024); the form is ours",
    equation=r"L = L_0 \exp\left(-g \left(1 - e^{-d/\tau}\right)\right)",
    covariates={"duration": WINDOW},
    coefficients={"L0": START, "g": GAIN, "tau": REACH},
    notes=(
        "The rival of domain_upsampling in which a longer window never stops helping: only more slowly.",
        "Scores enter as error rates: 1 - score in [0, 1] as the loss.",
    ),
)
def saturating_upsampling(duration, /, *, L0, g, tau):
    return L0 * exp(-g * (1 - exp(-duration / tau)))


@law(
    title="Domain upsampling, quadratic",
    source="Blakeney et al. 2024, arXiv:2406.03476 (COLM 2024); the form is ours",
    equation=r"L = L_0 \exp\left(-s\, d + q\, d^2\right)",
    covariates={"duration": WINDOW},
    coefficients={
        "L0": START,
        "s": Coefficient(
            real(0.05, sd=0.1),
            "1",
            "relative fall per tenth of the training, at its start",
            between=0.05,
            why="the first tenth of the paper removes up to a tenth of the errors",
        ),
        "q": Coefficient(
            positive(0.015, spread=1.0),
            "1",
            "how the fall bends back",
            between=0.5,
            why="the paper's general benchmarks turn between one and three tenths",
        ),
    },
    notes=(
        "The rival of domain_upsampling with a parabola; its best window is s / (2 q) tenths.",
        "Scores enter as error rates: 1 - score in [0, 1] as the loss.",
    ),
)
def quadratic_upsampling(duration, /, *, L0, s, q):
    return L0 * exp(-s * duration + q * duration**2)
