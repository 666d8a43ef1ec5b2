"""Loss against tokens alone: a power law with a floor, and its shifted form.

Source: the forms that benchmarks of learning curves fit, as in Alabdulmohsin et al. 2022, arXiv:2209.06640.
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive


def paper_units(reference, /, *, B, beta):
    """Return B for D in tokens."""
    return {"B": B * reference["D"] ** beta}


COVARIATES = {"D": Covariate("tokens", "training tokens, or any other amount of data", reference=1e10)}

COEFFICIENTS = {
    "E": Coefficient(
        positive(2.0, spread=0.5),
        "nats",
        "loss of endless training of this model",
        seen_along="level",
        why="two thirds of a loss of text: what size leaves is part of it, since only the data vary",
    ),
    "B": Coefficient(
        positive(0.5, spread=0.8),
        "nats",
        "part that data remove, at D0",
        between=0.3,
        seen_along="D",
        why="1e10 tokens leave a few tenths of a nat, and curves start from very different amounts of data",
    ),
    "beta": Coefficient(
        positive(0.35, spread=0.5),
        "1",
        "exponent of data",
        between=0.15,
        why="0.2 to 0.5 between finished runs, 0.65 to 0.9 along some runs",
    ),
}

ONE_VARIABLE = (
    "One curve, or several of models that differ in nothing that the law knows: give curves of several models their "
    "own coefficients (by=), or take chinchilla where their sizes are known.",
    "State the study's own D0 where curves are counted in examples or lie far from 1e10 tokens.",
    "A curve in the middle of a schedule lies above what a finished run of its length would reach.",
)


@law(
    title="Power law in tokens",
    source="the power law with a floor that benchmarks of learning curves fit, as in Alabdulmohsin et al. 2022, "
    "arXiv:2209.06640",
    equation=r"L = E + B\,(D/D_0)^{-\beta}",
    covariates=COVARIATES,
    coefficients=COEFFICIENTS,
    falls_in=("D",),
    paper_units=paper_units,
    notes=(
        *ONE_VARIABLE,
        "The benchmark's paper was not read for its formulas; the priors are ours. On its language curves the law is "
        "scored in docs/studies/revisiting.md.",
    ),
)
def power_law(D, /, *, E, B, beta):
    return E + B * D**-beta


@law(
    title="Shifted power law in tokens",
    source="the power law above with a start before its first token, after Alabdulmohsin et al. 2022, arXiv:2209.06640",
    equation=r"L = E + B\,(D/D_0 + d)^{-\beta}",
    covariates=COVARIATES,
    coefficients={
        **COEFFICIENTS,
        "d": Coefficient(
            positive(0.05, spread=1.5),
            "D0",
            "data that the start of the curve is worth",
            between=0.5,
            why="a curve that does not bend at its start has next to nothing, one of a warm start as much as D0",
        ),
    },
    falls_in=("D",),
    notes=(
        *ONE_VARIABLE,
        "It bends at the start, where errors lie near those of guessing, or where a model continues from another; far "
        "out it is the power law.",
        "d, B and beta trade against each other where no run lies below d: only the curve is known then.",
        "It is not a form of the benchmark: its program shifts the inverse of the data, B (1/D + g)^c, which has its "
        "bend at the end.",
    ),
)
def shifted_power_law(D, /, *, E, B, beta, d):
    return E + B * (D + d) ** -beta
