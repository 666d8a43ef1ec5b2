"""The report of a fit, for analysts: question, answer, what supports it, what could be wrong. A face."""

from bayeslaw.report.ratios import critical_ratios
from bayeslaw.report.writing import report

__all__ = ["critical_ratios", "report"]
