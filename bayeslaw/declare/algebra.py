"""The functions that a law may use besides ``+ - * / **``: the same for numbers, xarray, XTensor and PyTensor."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytensor.xtensor as ptx
import xarray as xr
from pytensor.graph.basic import Variable
from pytensor.xtensor.type import XTensorVariable

__all__ = ["exp", "log", "maximum", "product", "total", "where"]


def _namespace(*arrays: Any) -> Any:
    if any(isinstance(a, XTensorVariable) for a in arrays):
        return ptx.math
    return pt if any(isinstance(a, Variable) for a in arrays) else np


def exp(x: Any) -> Any:
    """Return e to the power of `x`, for numbers, xarray and XTensor."""
    return _namespace(x).exp(x)


def log(x: Any) -> Any:
    """Return the natural logarithm of `x`, for numbers, xarray and XTensor."""
    return _namespace(x).log(x)


def maximum(x: Any, y: Any) -> Any:
    """Return the elementwise maximum, for numbers, xarray and XTensor."""
    return _namespace(x, y).maximum(x, y)


def where(condition: Any, x: Any, y: Any) -> Any:
    """Return `x` where `condition` holds and `y` elsewhere, for numbers, xarray and XTensor."""
    if isinstance(condition, xr.DataArray):
        return xr.where(condition, x, y)
    return _namespace(condition, x, y).where(condition, x, y)


def total(x: Any, dim: str) -> Any:
    """Return the sum over a named dim; plain arrays (NumPy, PyTensor) have that dim first."""
    return x.sum(dim) if hasattr(x, "dims") else _namespace(x).sum(x, axis=0)


def product(x: Any, dim: str) -> Any:
    """Return the product over a named dim; plain arrays (NumPy, PyTensor) have that dim first."""
    return x.prod(dim) if hasattr(x, "dims") else _namespace(x).prod(x, axis=0)
