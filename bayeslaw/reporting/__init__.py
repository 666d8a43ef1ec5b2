"""The report of a fit, for analysts: question, answer, what supports it, what could be wrong. A face."""

from bayeslaw.reporting.ratios import critical_ratios
from bayeslaw.reporting.writing import report

__all__ = ["critical_ratios", "report"]
