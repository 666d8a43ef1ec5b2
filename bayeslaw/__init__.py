"""Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure."""

from bayeslaw import datasets
from bayeslaw.errors import BayeslawError
from bayeslaw.law import Coefficient, Covariate, Law, law
from bayeslaw.model import Model
from bayeslaw.noise import Noise
from bayeslaw.priors import Prior, positive, real, share
from bayeslaw.runs import Runs, read_runs

__version__ = "0.1.0"

__all__ = [
    "BayeslawError",
    "Coefficient",
    "Covariate",
    "Law",
    "Model",
    "Noise",
    "Prior",
    "Runs",
    "datasets",
    "law",
    "positive",
    "read_runs",
    "real",
    "share",
]
