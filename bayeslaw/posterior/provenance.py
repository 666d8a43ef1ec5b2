"""How a posterior was made: in one line, and in full."""

import platform
from importlib.metadata import version

from bayeslaw.base.numbers import exact, short
from bayeslaw.base.version import VERSION
from bayeslaw.base.words import counted
from bayeslaw.posterior.draws import Posterior

__all__ = ["provenance", "title"]


def provenance(fit: Posterior) -> dict[str, str]:
    """Return what another run needs: data, model, settings and versions."""
    model, versions = fit.model, {}
    for package in ("bayeslaw", "pymc", "nutpie", "arviz", "numpy", "scipy", "xarray"):
        try:
            versions[package] = version(package)
        except ImportError:
            versions[package] = VERSION if package == "bayeslaw" else "unknown"
    return {
        "law": f"{model.law.name} ({model.law.source})",
        "data": f"{counted(len(model.runs), 'row')}, SHA-256 {model.runs.hash}",
        "reference": ", ".join(f"{k} {exact(v)}" for k, v in model.reference.items()),
        **({"priors in nats": model.describe_scale()} if model.loss_scale != 1 else {}),
        **({"roles": model.describe_roles()} if model.roles else {}),
        "pooling": ", ".join(f"{k} by {v}" for k, v in model.by.items()) or "none",
        "own priors": ", ".join(f"{k} = {p}" for k, p in model.priors.items()) or "none",
        "errors": model.describe_noise(),
        "shape prior, range": f"{model.monotone or 'none'}, {model.outside or 'exclude'}",
        "settings": ", ".join(f"{k} {v}" for k, v in fit.settings.items()),
        "seconds": short(fit.seconds, 2),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "python": platform.python_version(),
    }


def title(fit: Posterior) -> str:
    """Return the law and the method in one line."""
    sizes = fit.idata["posterior"].sizes
    made = f"{sizes['chain']} x {sizes['draw']} draws"
    match fit.method:
        case "mle":
            made = "maximum likelihood"
        case "prior":
            made += " of the prior"
        case "new domain":
            made += f", the domain {fit.settings['domain']} added without a refit"
        case "nuts" if "domain" in fit.settings:
            made += f", the domain {fit.settings['domain']} added by a refit of all runs"
    return f"Fit of {fit.model.law.name}: {made}, {short(fit.seconds, 2)} s"
