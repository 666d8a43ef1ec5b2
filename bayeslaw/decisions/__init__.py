"""Questions to a fit that are answered by a decision: every draw decides for itself."""

from bayeslaw.decisions.allocation import allocation
from bayeslaw.decisions.best_duration import best_duration, duration_frontier
from bayeslaw.decisions.best_mixture import best_mixture
from bayeslaw.decisions.best_ratio import best_ratio
from bayeslaw.decisions.critical_ratio import critical_ratio
from bayeslaw.decisions.domain_alignment import alignment, domain_vectors
from bayeslaw.decisions.equivalent_compute import equivalent_compute
from bayeslaw.decisions.schedule import best_schedule, curve
from bayeslaw.decisions.turning import critical_point, turning_length

__all__ = [
    "alignment",
    "allocation",
    "best_duration",
    "best_mixture",
    "best_ratio",
    "best_schedule",
    "critical_point",
    "critical_ratio",
    "curve",
    "domain_vectors",
    "duration_frontier",
    "equivalent_compute",
    "turning_length",
]
