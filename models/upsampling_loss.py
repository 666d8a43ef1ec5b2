"""Upsampling at the end of training, for losses: nats per token or bits per byte against the length of the window.

Source: the question of Blakeney et al. 2024, arXiv:2406.03476; the forms are ours. Also for the share of a domain in
the last phase of a training of two phases, which is a window of equally many domain tokens.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, log, positive, real

SOURCE = "The question of Blakeney et al. 2024, arXiv:2406.03476; the form is ours"
WINDOW = Covariate("1", "share of the training, at its end, that upsamples the domain", reference=0.1, valid=(0.0, 1.0))

START = Coefficient(
    positive(1.7, spread=0.6), "nats", "loss without upsampling", why="losses of code and text between 0.5 and 5 nats"
)
GAIN = Coefficient(
    real(0.1, sd=0.2),
    "1",
    "logarithm of the factor by which the first tenth of the training divides the loss, net of what it crowds out",
    why="from nothing to a third of the loss, where the domain was absent before; below 0 where upsampling hurts",
    between=0.1,
)
REACH = Coefficient(
    positive(0.2, spread=1.5),
    "tenths of the training",
    "window from which on the gain goes with the logarithm of the window",
    why="as much domain text as the training before it held: from a thousandth to a fifth of it",
    between=0.3,
)


def reached(duration, tau):
    """How much of the first tenth's fall a window brings: a power law of the domain's tokens, on the log scale."""
    return log(1 + duration / tau) / log(1 + 1 / tau)


@law(
    title="Upsampling at the end of training, losses",
    source=SOURCE,
    equation=r"L = L_0 \exp\left(-(g + c)\,\frac{\log(1 + d/\tau)}{\log(1 + 1/\tau)} + c\, d^{k}\right)",
    covariates={"duration": WINDOW},
    coefficients={
        "L0": START,
        "g": GAIN,
        "tau": REACH,
        "c": Coefficient(
            positive(0.03, spread=1.0),
            "1",
            "logarithm of the factor by which the first tenth multiplies the loss: what is crowded out, or repeated",
            why="from nothing to a tenth of the loss",
            between=0.3,
        ),
        "k": Coefficient(
            positive(1.4, spread=0.4),
            "1",
            "power of the window with which that grows",
            why="in proportion to the window, or faster: text is repeated, and nothing else is left",
        ),
    },
    notes=(
        "A power law of the domain's tokens, which falls steeply at first, times what the window crowds out. A loss "
        "that only rises (general text) has a g below 0.",
        "Five coefficients: with five windows the priors decide much.",
    ),
)
def upsampling_loss(duration, /, *, L0, g, tau, c, k):
    # d^k by its logarithm, which has a derivative in k at d = 0 too
    return L0 * exp(-(g + c) * reached(duration, tau) + c * exp(k * log(duration + 1e-12)))


@law(
    title="Upsampling, losses, without crowding out",
    source=SOURCE,
    equation=r"L = L_0 \exp\left(-g\,\frac{\log(1 + d/\tau)}{\log(1 + 1/\tau)}\right)",
    covariates={"duration": WINDOW},
    coefficients={"L0": START, "g": GAIN, "tau": REACH},
    notes=("The rival of upsampling_loss in which a longer window never stops helping.",),
)
def saturating_upsampling_loss(duration, /, *, L0, g, tau):
    return L0 * exp(-g * reached(duration, tau))


@law(
    title="Upsampling, losses, quadratic",
    source=SOURCE,
    equation=r"L = L_0 \exp\left(-s\, d + q\, d^2\right)",
    covariates={"duration": WINDOW},
    coefficients={
        "L0": START,
        "s": Coefficient(
            real(0.05, sd=0.1),
            "1",
            "relative fall per tenth of the training, at its start",
            why="the first tenth takes up to a fifth off a loss",
            between=0.05,
        ),
        "q": Coefficient(
            positive(0.015, spread=1.0),
            "1",
            "how the fall bends back",
            why="losses turn between one and four tenths",
            between=0.3,
        ),
    },
    notes=("The rival of upsampling_loss with a parabola; its best window is s / (2 q) tenths.",),
)
def quadratic_upsampling_loss(duration, /, *, L0, s, q):
    return L0 * exp(-s * duration + q * duration**2)
