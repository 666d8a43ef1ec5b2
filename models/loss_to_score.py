"""From loss to score: the score of a benchmark against a loss, the second stage after a law of the loss.

Sources: Bhagia et al. 2024, "Establishing Task Scaling Laws via Compute-Efficient Model Ladders", arXiv:2412.04403 (the
logistic form); Gadre et al. 2024, "Language models scale reliably with over-training and on downstream tasks",
arXiv:2403.08540 (the exponential form). Scores enter as error rates, 1 - score.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, maximum, positive, share

LOSS = Covariate(
    "nats", "loss that the score follows: of the right answers, or of a validation set", valid=(0.01, 20.0)
)
CHANCE = Covariate("1", "score of guessing: 0.25 of four choices, 0 of open answers", valid=(0.0, 0.95))
READ = "`bl.read_scores(table, against=..., chance=...)` makes the runs: a row for every benchmark and checkpoint."
SAME_ITEMS = (
    "All runs are tested on the same items, whose luck belongs to the benchmark and is no error between runs: at 1B "
    "the scores of neighbouring checkpoints differ by less than the binomial error of their items on most benchmarks."
)
CHECKPOINTS = (
    "With four free numbers a benchmark, the last checkpoints of a ladder of runs do not identify the curve. Here the "
    "floor is known, the top nearly, and k pooled over benchmarks (by={'k': 'eval'}); checkpoints on the way may be "
    "fitted too (bl.read_scores keeps their run), best those of the second half of each run."
)

LOWEST = -50.0
"""Logit below which a score is that of guessing."""

HALF = Coefficient(
    positive(1.0, spread=0.8),
    "nats",
    "loss at which half of the way from guessing to the top is done",
    why="losses of right answers, .3 to 1.2 nats a byte, and of text, 1.5 to 3.5 nats a token",
    between=0.4,
)
STEEPNESS = Coefficient(
    positive(4.0, spread=0.8),
    "1",
    "at m, the rise of the logit for a relative fall of the loss",
    why="benchmarks rise from near guessing to the middle within a tenth of the loss or a fall to a quarter: 1 to 15",
    between=0.3,
)


@law(
    title="From loss to score, logistic",
    source="Bhagia et al. 2024, arXiv:2412.04403, stage 2, with its floor fixed at guessing",
    equation=r"L = 1 - g - \frac{c - g}{1 + e^{-k\,(1 - \ell/m)}}",
    covariates={"L": LOSS, "chance": CHANCE},
    coefficients={
        "m": HALF,
        "k": STEEPNESS,
        "c": Coefficient(
            share(0.97, weight=150),
            "1",
            "top: the score that the form tends to as the loss falls",
            why="wrong labels, 1 to 6 % of the items of a benchmark; the best models score .9 and more",
        ),
    },
    of_scores=True,
    notes=(
        "Symbols: l is the loss (column L), g the score of guessing (column chance). Published: a / (1 + exp(-k' (l - "
        "L0))) + b with four free numbers a benchmark; here b = g, a + b = c, L0 = m, k' = -k / m.",
        READ,
        CHECKPOINTS,
        SAME_ITEMS,
        "What the loss does not tell is error here: models of other data, or annealed on other data, lie off the curve "
        "together (arXiv:2412.04403 misses the ARC-Challenge score of its 13B model by 17.5 %).",
    ),
)
def loss_to_score(L, chance, /, *, m, k, c):
    return 1 - chance - (c - chance) / (1 + exp(-maximum(k * (1 - L / m), LOWEST)))


@law(
    title="From loss to score, exponential",
    source="Gadre et al. 2024, arXiv:2403.08540, per benchmark, with its error at a large loss fixed at guessing",
    equation=r"L = 1 - g - \frac{1 - g}{2}\, e^{k\,(1 - \ell/m)}",
    covariates={"L": LOSS, "chance": CHANCE},
    coefficients={"m": HALF, "k": STEEPNESS},
    of_scores=True,
    notes=(
        "The rival of loss_to_score that does not level off: what is above guessing grows ever faster as the loss "
        "falls, to a score of .999. Published: error = eps - K exp(-gamma l) of an average over benchmarks; here eps = "
        "1 - g, gamma = k / m.",
        READ,
        SAME_ITEMS,
    ),
)
def exponential_score(L, chance, /, *, m, k):
    return maximum(1 - chance - (1 - chance) / 2 * exp(k * (1 - L / m)), 0.001)
