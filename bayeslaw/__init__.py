"""Bayesian scaling laws of (continual) pre-training: which mixture ratio, and how sure.

Names are imported when they are asked for.
"""

from typing import TYPE_CHECKING, Any

from bayeslaw.base.drawing import draw_with
from bayeslaw.base.lazy import lazy
from bayeslaw.base.version import VERSION as __version__

if TYPE_CHECKING:
    from bayeslaw import datasets, models, plots
    from bayeslaw.checks.paper_requirements import requirements
    from bayeslaw.decisions.domain_learnability import learnability
    from bayeslaw.decisions.suggestions import suggest
    from bayeslaw.declare import Coefficient, Covariate, Law, Prior, law, positive, real, share
    from bayeslaw.errors import BayeslawError
    from bayeslaw.posterior.draws import UNSEEN
    from bayeslaw.posterior.forgetting import compare_memories
    from bayeslaw.posterior.losses import grid
    from bayeslaw.posterior.quantity import Quantity
    from bayeslaw.reporting import report
    from bayeslaw.spec.misfit import Misfit
    from bayeslaw.spec.noise import Noise
    from bayeslaw.tables import schedules
    from bayeslaw.tables.curves import read_curves
    from bayeslaw.tables.early_training import early_features
    from bayeslaw.tables.runs import Runs, read_runs
    from bayeslaw.tables.scores import read_scores
    from bayeslaw.tables.wandb import from_wandb
    from bayeslaw.validation import splits
    from bayeslaw.validation.calibration import Calibration, calibrate
    from bayeslaw.validation.comparison import compare
    from bayeslaw.validation.evaluation import Evaluation, evaluate
    from bayeslaw.validation.expected import Plan
    from bayeslaw.validation.first_design import plan
    from bayeslaw.validation.stacking import stacked
    from bayeslaw.workflow import Fit, Model, load
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "bayeslaw.checks.paper_requirements": ["requirements"],
            "bayeslaw.datasets": [],
            "bayeslaw.decisions.domain_learnability": ["learnability"],
            "bayeslaw.decisions.suggestions": ["suggest"],
            "bayeslaw.declare": [
                "Coefficient",
                "Covariate",
                "Law",
                "Prior",
                "law",
                "positive",
                "real",
                "share",
            ],
            "bayeslaw.errors": ["BayeslawError"],
            "bayeslaw.models": [],
            "bayeslaw.plots": [],
            "bayeslaw.posterior.draws": ["UNSEEN"],
            "bayeslaw.posterior.forgetting": ["compare_memories"],
            "bayeslaw.posterior.losses": ["grid"],
            "bayeslaw.posterior.quantity": ["Quantity"],
            "bayeslaw.reporting": ["report"],
            "bayeslaw.spec.misfit": ["Misfit"],
            "bayeslaw.spec.noise": ["Noise"],
            "bayeslaw.tables.curves": ["read_curves"],
            "bayeslaw.tables.early_training": ["early_features"],
            "bayeslaw.tables.runs": ["Runs", "read_runs"],
            "bayeslaw.tables.schedules": [],
            "bayeslaw.tables.scores": ["read_scores"],
            "bayeslaw.tables.wandb": ["from_wandb"],
            "bayeslaw.validation.calibration": ["Calibration", "calibrate"],
            "bayeslaw.validation.comparison": ["compare"],
            "bayeslaw.validation.evaluation": ["Evaluation", "evaluate"],
            "bayeslaw.validation.expected": ["Plan"],
            "bayeslaw.validation.first_design": ["plan"],
            "bayeslaw.validation.splits": [],
            "bayeslaw.validation.stacking": ["stacked"],
            "bayeslaw.workflow": ["Fit", "Model", "load"],
        },
    )

__all__ = [
    "__version__",
    "UNSEEN",
    "BayeslawError",
    "Calibration",
    "Coefficient",
    "Covariate",
    "Evaluation",
    "Fit",
    "Law",
    "Misfit",
    "Model",
    "Noise",
    "Plan",
    "Prior",
    "Quantity",
    "Runs",
    "calibrate",
    "compare",
    "compare_memories",
    "datasets",
    "early_features",
    "evaluate",
    "from_wandb",
    "grid",
    "law",
    "learnability",
    "load",
    "models",
    "plan",
    "plots",
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
    "stacked",
    "suggest",
]


def _draw(answer: Any, **options: Any) -> Any:
    from bayeslaw.plots.drawing import draw

    return draw(answer, **options)


draw_with(_draw)
