"""Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure."""

from bayeslaw import datasets, schedules, splits
from bayeslaw.benchmarks import read_scores
from bayeslaw.calibrate import Calibration, calibrate
from bayeslaw.comparison import compare
from bayeslaw.curves import read_curves
from bayeslaw.early_features import early_features
from bayeslaw.errors import BayeslawError
from bayeslaw.evaluate import Evaluation, evaluate
from bayeslaw.fit import Fit, grid
from bayeslaw.law import Coefficient, Covariate, Law, law
from bayeslaw.learnability import learnability
from bayeslaw.misfit import with_misfit
from bayeslaw.model import Model
from bayeslaw.noise import Noise
from bayeslaw.prediction import UNSEEN
from bayeslaw.priors import Prior, positive, real, share
from bayeslaw.quantity import Quantity
from bayeslaw.report import report
from bayeslaw.requirements import requirements
from bayeslaw.runs import Runs, read_runs
from bayeslaw.store import load

__version__ = "0.1.0"

__all__ = [
    "UNSEEN",
    "BayeslawError",
    "Calibration",
    "Coefficient",
    "Covariate",
    "Evaluation",
    "Fit",
    "Law",
    "Model",
    "Noise",
    "Prior",
    "Quantity",
    "Runs",
    "calibrate",
    "compare",
    "datasets",
    "early_features",
    "evaluate",
    "grid",
    "law",
    "learnability",
    "load",
    "positive",
    "read_curves",
    "read_runs",
    "read_scores",
    "real",
    "report",
    "requirements",
    "schedules",
    "share",
    "splits",
    "with_misfit",
]
