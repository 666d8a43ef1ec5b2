"""Functions that a law may use beside ``+ - * / **``, for numbers, xarray, XTensor and PyTensor alike."""

from typing import Any

import numpy as np

__all__ = ["exp", "log", "maximum", "product", "total", "where"]


def _namespace(*arrays: Any) -> Any:
    """Return the package whose functions take such arrays; PyTensor is imported when there are symbols."""
    symbols = [type(a).__module__ for a in arrays if type(a).__module__.startswith("pytensor.")]
    if not symbols:
        return np
    if any(module.startswith("pytensor.xtensor.") for module in symbols):
        import pytensor.xtensor as ptx

        return ptx.math
    import pytensor.tensor as pt

    return pt


def exp(x: Any) -> Any:
    """Return e to the power of `x`."""
    return _namespace(x).exp(x)


def log(x: Any) -> Any:
    """Return the natural logarithm of `x`."""
    return _namespace(x).log(x)


def maximum(x: Any, y: Any) -> Any:
    """Return the elementwise maximum."""
    return _namespace(x, y).maximum(x, y)


def where(condition: Any, x: Any, y: Any) -> Any:
    """Return `x` where `condition` holds and `y` elsewhere."""
    if any(type(a).__module__.startswith("xarray.") for a in (condition, x, y)):
        import xarray as xr

        return xr.where(condition, x, y)
    return _namespace(condition, x, y).where(condition, x, y)


def total(x: Any, dim: str) -> Any:
    """Return the sum over a named dim: the first one of plain arrays."""
    return x.sum(dim) if hasattr(x, "dims") else _namespace(x).sum(x, axis=0)


def product(x: Any, dim: str) -> Any:
    """Return the product over a named dim: the first one of plain arrays."""
    return x.prod(dim) if hasattr(x, "dims") else _namespace(x).prod(x, axis=0)
