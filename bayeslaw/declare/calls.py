"""Calls of functions with covariates by position and coefficients by name."""

import inspect
from collections.abc import Mapping
from typing import Any

__all__ = ["call_with"]


def call_with(function: Any, covariates: Mapping[str, Any], coefficients: Mapping[Any, Any]) -> Any:
    """Call a function with the covariates (positional-only) and coefficients (keyword-only) of its signature."""
    parameters = inspect.signature(function).parameters.values()
    positional = [covariates[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY]
    return function(*positional, **{p.name: coefficients[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY})
