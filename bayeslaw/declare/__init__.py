"""Everything that a law file imports: laws, coefficients, covariates, priors, and the functions a law may use."""

from bayeslaw.declare.algebra import exp, log, maximum, product, total, where
from bayeslaw.declare.laws import Law, law
from bayeslaw.declare.priors import Prior, positive, real, share
from bayeslaw.declare.symbols import Coefficient, Covariate

__all__ = [
    "Coefficient",
    "Covariate",
    "Law",
    "Prior",
    "exp",
    "law",
    "log",
    "maximum",
    "positive",
    "product",
    "real",
    "share",
    "total",
    "where",
]
