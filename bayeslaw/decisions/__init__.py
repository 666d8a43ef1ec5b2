"""Decisions: one file for each question to a posterior, which every draw answers.

Each is a method of `bayeslaw.Fit`. `DECISIONS` is the table that the command line, reports and checks read.
"""

from bayeslaw.decisions.best_duration import duration_frontier
from bayeslaw.decisions.domain_alignment import alignment, domain_vectors
from bayeslaw.decisions.table import DECISIONS, Decision

__all__ = ["DECISIONS", "Decision", "alignment", "domain_vectors", "duration_frontier"]
