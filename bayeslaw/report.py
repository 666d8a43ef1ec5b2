"""The report of a fit: MyST Markdown with its figures beside it. A face: nothing imports it while loading."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslaw.errors import BayeslawError, StoreError
from bayeslaw.law import describe
from bayeslaw.quantity import CI_PROB

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslaw.fit import Fit

__all__ = ["critical_ratios", "replacing", "write_report"]

RULES = ({"max_rise": 0.0}, {"max_rise": 0.01})
"""The limits on the general loss that a report answers unless asked for others."""

MOST = 6
"""A report shows at most this many model sizes or domains."""


def write_report(fit: "Fit", path: str | Path, *, question: Mapping[str, Any] | None = None) -> Path:
    """Write a report of a fit.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    path : path
        The report, ending in ``.md``; its figures go to the folder ``<stem>_files`` beside it.
    question : mapping, optional
        Arguments of `Fit.critical_ratio` (``max_rise``, ``max_increase``, ``baseline``, ``D``) in place of the two
        standard limits: no rise, and 1 %.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    StoreError
        The path cannot be written.
    """
    path = Path(path)
    if path.suffix != ".md":
        raise StoreError(f"a report is Markdown: give a path that ends in .md, not {str(path)!r}")
    ratios, no_ratio = None, ""
    try:
        ratios = critical_ratios(fit, question) if asks_for_a_ratio(fit) else None
    except BayeslawError as e:
        no_ratio = str(e)
    checks = fit.checks()
    with replacing(path) as text, _replacing_folder(path.with_name(f"{path.stem}_files")) as folder:
        figures = {}
        for name, figure in _figures(fit, ratios).items():
            figure.savefig(folder / f"{name}.png", dpi=150)
            figures[name] = f"{path.stem}_files/{name}.png"
        text.write_text(
            _template().render(
                law=fit.model.law,
                model=fit.model,
                ratios=None if ratios is None else ratios.drop(columns="ratio"),
                no_ratio=no_ratio,
                checks=checks,
                coefficients=_coefficients(fit),
                learned=_learned(fit),
                figures=figures,
                facts=fit.model.runs._facts(),
                noise=fit.model.describe_noise(),
                provenance=fit.provenance(),
                prob=CI_PROB,
                today=date.today().isoformat(),
            ),
            encoding="utf-8",
        )
    return path


def asks_for_a_ratio(fit: "Fit") -> bool:
    """Whether a critical ratio is a question to this law and these runs."""
    model = fit.model
    return {"N", "D", "domain_share"} <= set(model.law.columns) and {"general", "domain"} <= set(model.design.evals)


def critical_ratios(fit: "Fit", question: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the critical ratio of every model size (and domain) of the study, one row per size and limit.

    Columns: ``N``, ``domain`` (where there are several), ``D``, ``limit``, ``critical ratio`` (mean law) and ``of a new
    run`` in words, ``p_never``, ``p_interior``, ``p_always``, and the `Ratio` itself.
    """
    design = fit.model.design
    asked = dict(question or {})
    D = asked.pop("D", design.levels["D"].max())
    sizes = [asked.pop("N")] if "N" in asked else _some(design.levels["N"])
    domains = [asked.pop("domain")] if "domain" in asked else list(design.groups.get("domain", []))[:MOST]
    limits: dict[str, Any] = {k: asked.pop(k) for k in ("max_rise", "max_increase") if k in asked}
    rules: tuple[dict[str, Any], ...] = (limits,) if limits else RULES
    rows = []
    for rule in rules:
        for N in sizes:
            for domain in domains or [None]:
                where = {"N": float(N), "D": float(D)} | ({} if domain is None else {"domain": str(domain)})
                ratio = fit.critical_ratio(**where, **rule, **asked)
                new = fit.critical_ratio(**where, **rule, **asked, new_run=True)
                row = {**where, "limit": _limit(rule), "critical ratio": str(ratio.text().item())}
                row["of a new run"] = str(new.text().item())
                chances = {p: float(getattr(ratio, p)) for p in ("p_never", "p_interior", "p_always")}
                rows.append({**row, **chances, "ratio": ratio})
    return pd.DataFrame(rows)


def _some(levels: np.ndarray) -> list[float]:
    return [float(levels[i]) for i in np.unique(np.linspace(0, len(levels) - 1, MOST).round().astype(int))]


def _limit(rule: Mapping[str, Any]) -> str:
    if rule.get("max_increase") is not None:
        return f"rise of at most {rule['max_increase']:g} nats"
    return f"rise of at most {100 * rule['max_rise']:g} %" if rule.get("max_rise") else "no rise"


def _coefficients(fit: "Fit") -> pd.DataFrame:
    """Return the posterior summary with the prior beside it."""
    summary: pd.DataFrame = fit.summary().copy()
    prior = fit.model.table()["prior"]
    names = [re.split(r"\[", str(label))[0] for label in summary.index]
    summary.insert(0, "prior", [prior.get(name, "") for name in names])
    return summary.rename_axis("parameter").reset_index()


def _learned(fit: "Fit") -> pd.DataFrame:
    """How far the data narrowed and moved every prior."""
    from bayeslaw.plots import in_prior_units

    rows = []
    for name, draws in in_prior_units(fit).items():
        for label in draws["eval"].values:
            own = draws.sel(eval=label)
            contraction = 1 - float(own.var(("chain", "draw")).mean())
            shift = float(abs(own.mean(("chain", "draw"))).max())
            prior = fit.model.priors.get(name, fit.model.law.coefficients[name].prior)
            rows.append((name, str(label), describe(prior), contraction, shift, _verdict(contraction, shift)))
    return pd.DataFrame(rows, columns=["coefficient", "validation set", "prior", "contraction", "shift", "verdict"])


def _verdict(contraction: float, shift: float) -> str:
    if shift > 2:
        return "data and prior disagree"
    return "the data decide" if contraction > 0.9 else "data and prior" if contraction > 0.5 else "mostly the prior"


def _figures(fit: "Fit", ratios: pd.DataFrame | None) -> dict[str, "Figure"]:
    """Draw the figures of a report, by name."""
    from bayeslaw import plots

    design, figures = fit.model.design, {}
    if {"N", "D", "domain_share"} <= set(fit.model.law.columns):
        D, domains = design.levels["D"].max(), list(design.groups.get("domain", [None]))[:MOST]
        panels = [(N, domain) for N in _some(design.levels["N"]) for domain in domains][: 2 * MOST]
        figures["shares"] = _grid(panels, lambda at, ax: plots.plot_shares(fit, at[0], D, ax, domain=at[1]))
    if ratios is not None:
        rows = list(ratios.to_dict("records"))[: 2 * MOST]
        figures["critical-ratio"] = _grid(
            rows, lambda row, ax: plots.plot_critical_ratio(row["ratio"], ax, _title(row))
        )
    figures["coefficients"] = _grid([fit], plots.plot_prior_posterior, height=3.6, width=6.0)
    return figures


def _title(row: Mapping[str, Any]) -> str:
    from bayeslaw.plots import amount

    return ", ".join([f"N = {amount(row['N'])}", *([row["domain"]] if "domain" in row else []), row["limit"]])


def _grid(panels: list[Any], draw: Callable[[Any, Any], Any], width: float = 3.2, height: float = 2.5) -> "Figure":
    from matplotlib.figure import Figure

    across = min(len(panels), 2 if len(panels) <= 4 else 4 if len(panels) == 8 else 3)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        draw(panel, ax)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayeslaw"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"text": _text, "table": _table}
    return environment.get_template("report.md.jinja")


def _text(value: object) -> str:
    """Escape what Markdown would read as a command: names in a user's table are only ever text."""
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) >= 1000 else f"{value:.3g}"
    return re.sub(r"([\\`*{}\[<>|$#])", r"\\\1", " ".join(str(value).split()))


def _table(frame: pd.DataFrame) -> str:
    head = [_text(c) for c in frame.columns]
    rows = [head, ["---"] * len(head), *([_text(v) for v in row] for row in frame.itertuples(index=False))]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when all went well and disappears when not.

    Raises
    ------
    StoreError
        The folder cannot be made or written to, or `path` is a folder.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder: give the name of a file")
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=path.parent))
        yield folder / path.name
        (folder / path.name).replace(path)
    except OSError as e:
        if isinstance(e, BayeslawError):
            raise
        raise StoreError(f"cannot write {path}: {e.strerror or e}") from e
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move to `target` when all went well."""
    folder = Path(tempfile.mkdtemp(prefix=".bayeslaw-", dir=target.parent))
    try:
        yield folder
        target.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.replace(target / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
