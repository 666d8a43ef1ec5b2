"""Every kind of figure, of simulated runs and made-up draws: ``python -m tests.gallery`` writes docs/gallery.md."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayeslaw import models, plots
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.plots import style
from bayeslaw.plots.panels import grid
from bayeslaw.reporting.page import DPI
from bayeslaw.workflow import Fit
from tests.conftest import table_of
from tests.stand_ins import stand_in

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
SIZES = [1e8, 5e8, 2e9]


def one(draw: Callable[[Axes], object], height: float = style.HEIGHT) -> Figure:
    return grid([None], lambda _, ax: draw(ax), height=height)


def prediction() -> Figure:
    fit = stand_in(models.chinchilla, table_of)
    return one(fit.predict(N=1e9, D=[1e8, 1e9, 1e10, 5e10]).plot)


def at_half(fit: Fit, N: float) -> CriticalRatio:
    """The critical ratio at the general loss of a share of a half."""
    loss = fit.predict(N=N, D=5e10, domain_share=0.5, domain="code").median().sel(eval="general")
    return fit.critical_ratio(N=N, D=5e10, domain="code", baseline=float(loss))


def shares() -> Figure:
    fit = stand_in(models.dcpt, table_of, outside="include")
    ratios = {N: at_half(fit, N) for N in SIZES}
    return grid(SIZES, lambda N, ax: plots.plot_shares(fit, N, 5e10, ax, ratio=ratios[N]))


def ratio() -> Figure:
    fit = stand_in(models.dcpt, table_of, outside="include")
    ratios = {N: at_half(fit, N) for N in SIZES}
    return grid(SIZES, lambda N, ax: plots.plot_critical_ratio(ratios[N], ax, place({"N": N})), height=2.8)


def along() -> Figure:
    fit = stand_in(models.cross_domain_dcpt, table_of, outside="include")
    at: dict[str, Any] = {"domain_share": 0.5, "k1": 2.5, "k2": 0.5, "domain": "code"}
    return grid(SIZES, lambda N, ax: plots.plot_along(fit, "D", ax, N=N, **at))


def window() -> Figure:
    fit = stand_in(models.domain_upsampling, table_of, draws=60)
    goal = fit.evals[0]
    return one(lambda ax: plots.plot_along(fit, "duration", ax, best=fit.best_duration(goal=goal)))


def turning_point() -> Figure:
    fit = stand_in(models.cmr_general, table_of)
    return one(lambda ax: plots.plot_turning_point(fit, ax=ax, domain_share=0.5))


def curve() -> Figure:
    fit = stand_in(models.lr_annealing, table_of)

    def draw(run: str, above: Axes, below: Axes) -> None:
        plots.plot_curve(fit, run, (above, below))

    return grid(["flat 0", "fall 0", "wave 0"], draw, height=3.6, ratios=(1, 3))


def against_measured() -> Figure:
    return one(lambda ax: plots.plot_fit(stand_in(models.dcpt, table_of, outside="include"), ax), 4.4)


def next_run() -> Figure:
    fit = stand_in(models.chinchilla, table_of)
    found = fit.next_runs("loss", candidates={"N": [1e9, 3e9, 1e10], "D": [1e10, 1e11]}, budget=1e23, N=1e11, D=1e12)
    return one(found.plot)


def learned() -> Figure:
    fit = stand_in(models.dcpt, table_of, outside="include")
    before = stand_in(models.dcpt, table_of, outside="include")
    wide = before.idata["posterior"].to_dataset()
    wide["E"] = wide["E"] * np.exp(0.5 * np.random.default_rng(0).standard_normal(wide["E"].shape))
    before.idata["posterior"] = before.idata["posterior"].assign(E=wide["E"])
    return grid(fit.evals, lambda e, a, b: plots.plot_learned(fit, before, e, (a, b)), height=5.0, ratios=(1, 1))


def prior_posterior() -> Figure:
    return one(lambda ax: plots.plot_prior_posterior(stand_in(models.dcpt, table_of), ax), 4.0)


def mixture() -> Figure:
    best = stand_in(models.data_mixing, table_of).best_mixture()
    return one(lambda ax: plots.plot_mixture(best, ax), 4.6)


def many_sources() -> Figure:
    best = stand_in(models.additive_mixture, table_of, sources=5).best_mixture(N=1e9, D=1e10)
    return one(lambda ax: plots.plot_mixture(best, ax))


def regret() -> Figure:
    best = stand_in(models.data_mixing, table_of).best_mixture()
    even = dict.fromkeys(["books", "code", "web"], 1 / 3)
    return one(lambda ax: plots.plot_regret(best, {"even": even}, ax))


def sources() -> Figure:
    fit = stand_in(models.data_mixing, table_of, sources=6)
    return one(lambda ax: plots.plot_sources(fit, "t", ax))


def coverage() -> Figure:
    rng = np.random.default_rng(2)
    held = {law: (int(rng.binomial(240, 0.89 if law != "regmix" else 0.78)), 240) for law in models.catalogue}
    return one(lambda ax: plots.plot_coverage(held, ax), 1.2 + 0.2 * len(held))


KINDS: dict[str, tuple[str, str, Callable[[], Figure]]] = {
    "prediction": (
        "`fit.predict(...).plot()`: the law between the values that were asked for",
        "A loss that falls along tokens, with its narrow band",
        prediction,
    ),
    "shares": (
        "`plots.plot_shares`, one panel a model size",
        "Two losses that cross along the domain share: the general one rises, the domain's falls",
        shares,
    ),
    "ratio": (
        "`plots.plot_critical_ratio`, one panel a model size",
        "Histograms of the critical ratio of three model sizes, all of them close to a half",
        ratio,
    ),
    "along": (
        "`plots.plot_along`, one panel a model size",
        "Losses that fall along tokens, lower in the panels of larger models",
        along,
    ),
    "window": (
        "`plots.plot_along` with the best place",
        "An error rate that falls and rises along the upsampled window, its lowest place marked by a dashed line",
        window,
    ),
    "turning_point": (
        "`plots.plot_turning_point`",
        "A loss that rises to a peak, marked by a dashed line, and falls after it",
        turning_point,
    ),
    "curve": (
        "`plots.plot_curve`, one panel a run",
        "Learning rates above, and below them losses that fall as the rates do",
        curve,
    ),
    "against_measured": (
        "`plots.plot_fit`",
        "Predicted against measured losses, close to the grey line on which they agree",
        against_measured,
    ),
    "learned": (
        "`plots.plot_learned`, one pair a validation set",
        "Above, wide grey bands before the data; below, on a scale of their own, narrow bands after them",
        learned,
    ),
    "prior_posterior": (
        "`plots.plot_prior_posterior`",
        "Intervals of nine coefficients, most of them narrower than the grey stripe of the prior",
        prior_posterior,
    ),
    "next_runs": (
        "`plots.plot_next_runs`",
        "Candidates by size and tokens, as large as they are worth for their cost, and crosses for the runs made",
        next_run,
    ),
    "mixture": (
        "`plots.plot_mixture` of three sources",
        "A triangle with a cloud of best mixtures around a diamond, the recommended one",
        mixture,
    ),
    "many_sources": (
        "`plots.plot_mixture` of more sources",
        "Bars of recommended shares, the largest first, with the intervals of the best ones",
        many_sources,
    ),
    "regret": (
        "`plots.plot_regret`",
        "Histograms of regret: the recommended mixture's near 0, that of the even mixture far from it",
        regret,
    ),
    "sources": ("`plots.plot_sources`", "Intervals of a coefficient of five sources, the lowest first", sources),
    "coverage": (
        "`plots.plot_coverage`",
        "A dot for every law, sorted by coverage, most of them inside the grey bars of chance and one left of them",
        coverage,
    ),
}
"""Caption, alternative text and drawing of every kind of figure."""


def main() -> None:
    folder = PAGE.with_name("gallery_files")
    folder.mkdir(exist_ok=True)
    parts = [
        "# Gallery",
        "Every kind of figure once, of simulated runs and made-up draws. Each is as wide as a column of text or, with "
        "several panels, twice that, with letters of one size; "
        "[the reference](reference/index.md) has the functions, which draw on your axes too.",
    ]
    for name, (caption, alt, draw) in KINDS.items():
        figure = draw()
        figure.set_dpi(DPI)
        with (folder / f"{name}.png").open("wb") as file:
            FigureCanvasAgg(figure).print_png(file)
        parts.append(f"![{alt}](gallery_files/{name}.png)\n\n*{caption}*")
    parts.append("Written by `python -m tests.gallery`.")
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
