"""The pages of laws: card with symbols, code, a picture of what the priors say, linked papers; the law chooser."""

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayeslaw import models
from bayeslaw.base.numbers import short
from bayeslaw.base.words import place
from bayeslaw.cli import QUESTIONS as ASKED
from bayeslaw.decisions import DECISIONS
from bayeslaw.declare.equations import symbol
from bayeslaw.declare.laws import Law
from bayeslaw.declare.questions import QUESTIONS
from bayeslaw.plots import style
from bayeslaw.spec.ranges import ranges

HERE = Path(__file__).parents[1]
DRAWS = 2000
POINTS = 81

NATS = 2.5
"""A loss that a law takes as a covariate."""

CAPTION = "What the default priors say before any run, without the shape prior: median and 89 % band."

HAVE = {
    "share": "runs of continual pre-training at several domain shares",
    "mixture": "runs on mixtures of several sources",
    "schedule": "training curves with their learning rates",
    "size": "runs of several sizes and tokens",
    "window": "runs that upsample a domain at their end",
    "score": "losses and benchmark scores",
    "other": "losses on two corpora",
}
"""What somebody has, by the kind of law it is for."""


def linked(text: str) -> str:
    """Return a text whose arXiv numbers lead there."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def with_symbols(card: str, law: Law) -> str:
    """Return a card whose tables show the symbols of the equation beside the names."""
    equation = re.sub(r"[{}\s]", "", law.equation)
    for name in [*law.coefficients, *law.covariates]:
        sign = symbol(name)
        known = sign != name and re.sub(r"[{}\s]", "", sign) in equation
        shown = f"| ${sign}$ `{name}` |" if known else f"| `{name}` |"
        card = card.replace(f"\n| {name} |", f"\n{shown}")
    return card


def page(name: str, law: Law, reports: dict[str, tuple[str, str, list[str]]]) -> str:
    """Return the page of a law."""
    answers = [n for n, asked in DECISIONS.items() if asked.applies(law)]
    command = next((f"fit.{n}(...)" for n in answers), "fit.predict(...)")
    about = "".join(f"# {ASKED[n.replace('_', '-')]}\n" for n in answers[:1])
    reader = {"schedule": "read_curves", "score": "read_scores"}.get(law.kind, "read_runs")
    code = f'model = bl.Model(bl.models.{name}, bl.{reader}("runs.csv"))\nfit = model.fit(seed=1)\n\n{about}{command}'
    title, rest = law.card().split("\n", 1)
    head, tables = linked(with_symbols(rest, law)).split("## Covariates", 1)
    parts = [title, head.strip()]
    draw(law, HERE / "laws" / "pictures" / f"{name}.png")
    parts.append(f"![{seen(law)}](pictures/{name}.png)\n\n*{CAPTION}*")
    parts += [f"```python\nimport bayeslaw as bl\n\n{code}\n```", f"## Covariates{tables}".strip()]
    if links := [f"[{title}](../reports/{file})" for file, (title, _, laws) in reports.items() if name in laws]:
        parts.append(f"At work in: {'; '.join(links)}.")
    parts.append(f"Name: `{name}`; file: `{law.function.__module__.removeprefix('bayeslaw.')}`.")
    return "\n\n".join(parts) + "\n"


def chooser() -> str:
    """Return the laws as a table that a question narrows: what you have, and what the loss is to depend on."""
    columns = sorted({c for law in models.catalogue.values() for c in law.columns}, key=str.casefold)
    kinds = "".join(f'<option value="{kind}">{html.escape(HAVE[kind])}</option>' for kind in QUESTIONS)
    takes = "".join(f'<option value="{c}">{html.escape(c)}</option>' for c in columns)
    asked = "".join(f'<option value="{n}">{n.replace("_", " ")}</option>' for n in DECISIONS)
    rows = "".join(_row(name, law) for name, law in models.catalogue.items())
    return f"""```{{raw}} html
<form class="chooser" aria-label="Choose a law">
<label>I have <select name="kind"><option value="">any runs</option>{kinds}</select></label>
<label>the loss depends on <select name="takes"><option value="">anything</option>{takes}</select></label>
<label>I ask for <select name="answers"><option value="">any decision</option>{asked}</select></label>
<output></output>
</form>
<div class="wide"><table class="table laws">
<thead><tr><th>law</th><th>loss against</th><th>answers</th><th>valid for</th></tr></thead>
<tbody>{rows}</tbody></table></div>
```"""


def _row(name: str, law: Law) -> str:
    answers = [n for n, asked in DECISIONS.items() if asked.applies(law)]
    said = ", ".join(n.replace("_", " ") for n in answers) or "losses"
    marks = f'data-kind="{law.kind}" data-takes="{" ".join(law.columns)}" data-answers="{" ".join(answers)}"'
    cells = (f'<a href="{name}.html">{name}</a><br>{html.escape(law.title)}', ", ".join(law.columns), said, ranges(law))
    first, *others = cells
    return f"<tr {marks}><td>{first}</td>{''.join(f'<td>{html.escape(cell)}</td>' for cell in others)}</tr>\n"


def _along(law: Law) -> str:
    """Return the covariate along which a law is drawn."""
    plain = [name for name in law.covariates if name not in law.vectors]
    wanted = ("share", "duration", "D", "S1cpt", "S1", "L", "N")
    return next((name for name in wanted if name in plain), [*plain, *law.vectors][0])


def _axis(law: Law) -> str:
    along = _along(law)
    return "share of one of two sources" if along in law.vectors else law.covariates[along].meaning


def seen(law: Law) -> str:
    """Return in words what a picture shows."""
    middle = np.nanmedian(_losses(law)[1], axis=0)
    first, last = short(middle[0]), short(middle[-1])
    way = f"stays at {first}" if first == last else f"goes from {first} to {last}"
    what = "error rate" if law.of_scores else "loss"
    return f"The {what} {way} in the median along the {_axis(law)}, in the wide band that the priors leave it"


def _losses(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Return values of a covariate in its own unit and the loss there, for draws of the priors of the coefficients."""
    rng, along = np.random.default_rng(0), _along(law)
    x = np.empty(0)
    covariates: list[Any] = []
    for name, cov in law.covariates.items():
        low, high = cov.valid
        if name == along and name in law.vectors:
            x = np.linspace(0, 1, POINTS)
            covariates.append(xr.DataArray(np.stack([x, 1 - x], axis=1), dims=("x", "source")))
        elif name in law.vectors:
            covariates.append(xr.DataArray([0.5, 0.5], dims="source"))
        elif name == along:
            wide = cov.reference * 30
            low = max(low, 0.01 if high <= 1 else wide / 900)
            x = np.linspace(low, high, POINTS) if np.isfinite(high) else np.geomspace(low, wide, POINTS)
            covariates.append(xr.DataArray(x / cov.reference, dims="x"))
        elif cov.unit == "nats":
            covariates.append(NATS)
        else:
            inside = low + 0.5 * (high - low) if np.isfinite(high) and np.isfinite(low) else cov.reference
            covariates.append(inside / cov.reference)
    drawn = {
        name: _drawn(c.prior, rng, ("draw", "source") if c.over else ("draw",)) for name, c in law.coefficients.items()
    }
    with np.errstate(over="ignore"):  # far out in the tails of the priors
        losses = law(*covariates, **drawn)
    return x, losses.transpose("draw", "x").values


def _drawn(prior: Any, rng: np.random.Generator, dims: tuple[str, ...]) -> xr.DataArray:
    size, p = [DRAWS, 2][: len(dims)], prior.parameters
    make = {
        "LogNormal": lambda: rng.lognormal(p["mu"], p["sigma"], size),
        "Normal": lambda: rng.normal(p["mu"], p["sigma"], size),
        "Beta": lambda: rng.beta(p["alpha"], p["beta"], size),
        "HalfNormal": lambda: abs(rng.normal(0, p["sigma"], size)),
    }
    return xr.DataArray(make[prior.distribution](), dims=dims)


def draw(law: Law, target: Path) -> None:
    """Draw what the default priors say of a loss."""
    along = _along(law)
    x, losses = _losses(law)
    low, middle, high = np.nanquantile(losses, [0.055, 0.5, 0.945], axis=0)
    figure = Figure(figsize=(style.COLUMN, 3.0), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(x, low, high, color=style.COLOURS[0], alpha=0.3, lw=0)
    ax.plot(x, middle, color=style.COLOURS[0], lw=1.6)
    style.scale(ax, x)
    fixed = {n: c.reference for n, c in law.covariates.items() if n in ("N", "D", "U") and n != along}
    ax.set_ylabel("error rate" if law.of_scores else "loss (nats per token)")
    ax.set_xlabel(style.lines(_axis(law), style.width_of(ax)))
    style.finish(ax, f"at {place(fixed)}" if fixed else "")
    target.parent.mkdir(exist_ok=True)
    figure.set_dpi(150)
    with target.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file)
