"""How a posterior came about: in a line, and as much as it takes to make it again."""

import platform
from importlib.metadata import version

from bayeslaw.base.version import VERSION
from bayeslaw.posterior.draws import Posterior

__all__ = ["provenance", "title"]


def provenance(fit: Posterior) -> dict[str, str]:
    """Return what is needed to run it again: versions, data, settings."""
    packages = ("bayeslaw", "pymc", "nutpie", "arviz", "numpy", "scipy", "xarray")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except ImportError:
            versions[package] = VERSION if package == "bayeslaw" else "unknown"
    return {
        "law": f"{fit.model.law.name} ({fit.model.law.source})",
        "data": f"{len(fit.model.runs)} rows, SHA-256 {fit.model.runs.hash}",
        "reference": ", ".join(f"{k} {v:g}" for k, v in fit.model.reference.items()),
        "pooling": ", ".join(f"{k} by {v}" for k, v in fit.model.by.items()) or "none",
        "own priors": ", ".join(f"{k} = {p}" for k, p in fit.model.priors.items()) or "none",
        "errors": fit.model.describe_noise(),
        "shape prior, range": f"{fit.model.monotone or 'none'}, {fit.model.outside}",
        "settings": ", ".join(f"{k} {v}" for k, v in fit.settings.items()),
        "seconds": f"{fit.seconds:.1f}",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "python": platform.python_version(),
    }


def title(fit: Posterior) -> str:
    """Return in a line what was fitted and how."""
    sizes = fit.idata["posterior"].sizes
    made = f"{sizes['chain']} x {sizes['draw']} draws"
    match fit.method:
        case "mle":
            made = "maximum likelihood"
        case "prior":
            made += " of the prior"
        case "new domain":
            made += f", the domain {fit.settings['domain']} added without a refit"
    return f"Fit of {fit.model.law.name}: {made}, {fit.seconds:.0f} s"
