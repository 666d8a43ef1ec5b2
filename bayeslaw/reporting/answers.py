"""The decisions that have an answer of their own in a report; `plain` answers the others."""

from bayeslaw.reporting.answer import spending
from bayeslaw.reporting.choices import durations, mixture
from bayeslaw.reporting.ratios import ratios

__all__ = ["ANSWERS"]

ANSWERS = {"critical_ratio": ratios, "best_mixture": mixture, "best_duration": durations, "allocation": spending}
