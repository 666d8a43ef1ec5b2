"""The names that the package uses itself, and who has them: the one list that laws, models and readers ask."""

from collections.abc import Iterable

__all__ = ["AREAS", "KINDS", "ROLE", "WEIGHT", "owner_of_coefficient", "owner_of_column", "owner_of_dim"]

WEIGHT = "weight"
"""The covariate made of all columns ``weight_<source>``; its own dim is ``source``."""

ROLE = "eval_role"
"""What a law takes each validation set for, and the dim of populations of sets with one role."""

AREAS = (
    *("S1", "S1pt", "S1cpt"),
    *("S2", "S2pt", "S2cpt"),
    *("annealed", "annealed_pt", "annealed_cpt", "annealed_power"),
)
"""Columns that `bayeslaw.read_curves` computes: areas under a learning-rate schedule."""

KINDS = {
    "score": ("chance",),
    "schedule": AREAS,
    "mixture": (WEIGHT,),
    "window": ("duration",),
    "share": ("domain_share",),
}
"""Columns that tell the kind of a law, one of which is enough; laws of sizes and tokens, and others, have none."""

DERIVED = ("_mu", "_sigma", "_paper")
"""Ends of the names of variables that are derived from a coefficient."""

DIMS = dict.fromkeys(("chain", "draw", "eval", "batch", "row", "measurement", "source", WEIGHT, ROLE), "a dim")
ERRORS = dict.fromkeys(
    (
        *("sigma", "run_weight", "correlation_length", "eval_correlation"),
        *("size_exponent", "batch_effect", "batch_effect_sigma"),
    ),
    "the error model",
)
MEASURED = dict.fromkeys(
    ("loss", "loss_sd", "log_loss", "log_likelihood", "shape", "observed", "measured", "log_size", "known_error"),
    "the measurements",
)
RESULTS = dict.fromkeys(
    (
        *("mean", "sd", "median", "lower", "upper", "p_never", "p_interior", "p_always", "quantile", "quantity"),
        *("fold", "pit", "crps", "log_score", "grid"),
    ),
    "a column of results",
)
DATA = dict.fromkeys(
    ("start", "gap", "previous", "eval_number", "cell_row", "cell_eval", "log_loss_row", "at_batch"),
    "the data of the PyMC model",
)
DATA_PREFIXES = ("x_", "at_")
"""Beginnings of the names of covariates and positions in the PyMC model."""

MISFIT_PREFIXES = ("misfit_", "knot_")
"""Beginnings of the names of parameters and dims of a misfit."""

ARGUMENTS = dict.fromkeys(("self", "fit", "seed", "new_run", "prob"), "an argument of predict")


def owner_of_coefficient(name: str, coefficients: Iterable[str] = (), columns: Iterable[str] = ()) -> str | None:
    """Return what else has the name of a coefficient; None if nothing has."""
    other = next((name.removesuffix(end) for end in DERIVED if name.endswith(end)), name)
    if other != name and other in coefficients:
        return f"a variable derived from {other}"
    if name.startswith(DATA_PREFIXES):
        return "the data of the PyMC model"
    if name.startswith(MISFIT_PREFIXES):
        return "the misfit"
    return (ERRORS | DIMS | MEASURED | DATA).get(name) or ("a column of its runs" if name in columns else None)


def owner_of_column(name: str) -> str | None:
    """Return what has the name of a table column that a law reads; None if nothing has."""
    return (DIMS | ERRORS | MEASURED | RESULTS | ARGUMENTS).get(name) if name != WEIGHT else None


def owner_of_dim(name: str, coefficients: Iterable[str]) -> str | None:
    """Return what has the name of a column that coefficients vary over; None if nothing has."""
    if name in coefficients:
        return "a coefficient"
    return owner_of_coefficient(name, coefficients) or owner_of_column(name)
