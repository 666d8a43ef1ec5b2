"""RegMix: losses of small runs, regressed linearly on the shares of their mixtures.

Source: Liu et al. 2024, "RegMix: Data Mixture as Regression for Language Model Pre-training", arXiv:2407.01492.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, total


@law(
    title="RegMix, linear",
    source="Liu et al. 2024, arXiv:2407.01492 (ICLR 2025)",
    equation=r"L = \sum_j w_j r_j",
    covariates={"weight": Covariate("1", "share of every source in the stream; they sum to 1", valid=(0.0, 1.0))},
    coefficients={
        "w": Coefficient(
            positive(4.0, spread=0.5),
            "nats",
            "loss after training on this source alone",
            over="source",
            between=0.2,
            why="validation losses of small models lie between 1 and 8 nats, on text unlike their own at the upper end",
        ),
    },
    notes=(
        "Shares sum to 1, so an intercept would be the same as a constant added to all w: there is none.",
        "A straight line has its minimum at a corner: the best mixture is a single source, up to its bounds. It is "
        "here as the yardstick of the paper, whose choice is a regression by boosted trees (LightGBM, no law); for a "
        "mixture to train on take data_mixing.",
        "The paper's rank correlations of 60M models: 89.3 % linear, 98.6 % boosted trees.",
        "Fitted to log losses like every law here, which moves the paper's least squares a little.",
    ),
)
def regmix(weight, /, *, w):
    return total(w * weight, "source")
