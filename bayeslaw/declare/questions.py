"""The question that laws of each kind answer, by which they are listed."""

from collections.abc import Mapping

from bayeslaw.declare.laws import Kind

__all__ = ["QUESTIONS"]

QUESTIONS: Mapping[Kind, str] = {
    "score": "Which benchmark score follows from a loss?",
    "window": "How long to upsample a domain at the end of training?",
    "mixture": "Which mixture of many sources?",
    "share": "Which share of the new domain, and how much replay of the old?",
    "schedule": "Which learning-rate schedule, and which loss along it?",
    "size": "How large a model, on how many tokens?",
    "other": "Which loss follows from others?",
}
"""What laws of a kind are asked, the most special question first."""
