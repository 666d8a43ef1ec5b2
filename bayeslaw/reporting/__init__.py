"""The report of a fit: question, answer, what supports it, what could be wrong."""

from bayeslaw.reporting.ratios import critical_ratios
from bayeslaw.reporting.writing import report

__all__ = ["critical_ratios", "report"]
