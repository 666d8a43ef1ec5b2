"""Questions to a fit that are answered by a decision: every draw decides for itself."""

from bayeslaw.decisions.allocation import allocation
from bayeslaw.decisions.best_ratio import best_ratio
from bayeslaw.decisions.critical_ratio import critical_ratio

__all__ = ["allocation", "best_ratio", "critical_ratio"]
