"""The picture of docs/architecture.md: python docs/architecture_files/draw.py"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, QUIET = "#1a1a1a", "#555555"
BLUE, ORANGE, GREEN, GREY = "#dbeaf6", "#fbe6d5", "#d9f0e6", "#f0f0f0"
SIZE = (10.4, 7.2)
LEFT, WIDTH, GAP = 0.3, 1.72, 0.3

FLOW = ("a table", "Runs", "Model", "Fit", "Quantity")
STEPS = ("read, check", "arrange", "sample", "ask")

COLUMNS = (
    ("datasets/", GREY, ("tables that", "come along,", "with their cards")),
    ("the door", BLUE, ("tables, runs", "mixtures", "curves, areas", "schedules, power", "early_features")),
    ("models/", ORANGE, ("one law per file:", "function and card", "(law, priors,", "design, shape,", "noise)")),
    ("sampler/", BLUE, ("parameters, density", "kernels, blocks", "error_density", "coordinates, frame", "sampling")),
    ("decisions/", BLUE, ("critical ratio", "best mixture", "allocation", "best schedule", "best duration ...")),
)
"""What lies below each step of the flow and serves it."""

ROWS = (
    ("is it right?", BLUE, "checks/   sensitivity   requirements   comparison   evaluate   calibrate"),
    ("faces", GREEN, "report/   plots/   cli/      they use everything above; nothing above needs them to load"),
)


def box(ax: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    style = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, fc=colour, ec=INK, lw=0.8))


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK, lw=1, shrinkA=0, shrinkB=0)
    )


def draw() -> Figure:
    """Draw the house: the flow on top, what serves each step below it, then what examines and what shows a fit."""
    figure = Figure(figsize=SIZE)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    ax.set_axis_off()
    for k, (stage, (title, colour, files)) in enumerate(zip(FLOW, COLUMNS, strict=True)):
        x = LEFT + k * (WIDTH + GAP)
        middle = x + WIDTH / 2
        box(ax, x, 5.75, WIDTH, 0.8, colour if k in (0, 2) else BLUE)
        ax.text(middle, 6.15, stage, ha="center", va="center", fontsize=14, weight="bold", color=INK)
        if k:
            arrow(ax, (x - GAP, 6.15), (x, 6.15))
            ax.text(x - GAP / 2, 6.72, STEPS[k - 1], ha="center", fontsize=9.5, style="italic", color=INK)
        box(ax, x, 3.15, WIDTH, 2.1, colour)
        ax.text(middle, 4.98, title, ha="center", va="center", fontsize=11.5, weight="bold", color=INK)
        ax.text(middle, 4.0, "\n".join(files), ha="center", va="center", fontsize=9.5, color=QUIET, linespacing=1.5)
        arrow(ax, (middle, 5.25), (middle, 5.75))
    across = SIZE[0] - 2 * LEFT
    for k, (title, colour, files) in enumerate(ROWS):
        y = 1.85 - 1.2 * k
        box(ax, LEFT, y, across, 0.85, colour)
        ax.text(LEFT + 0.15, y + 0.6, title, va="center", fontsize=11.5, weight="bold", color=INK)
        ax.text(LEFT + 0.15, y + 0.26, files, va="center", fontsize=9.5, color=QUIET)
        arrow(ax, (SIZE[0] / 2, y + 0.85), (SIZE[0] / 2, y + (1.3 if k == 0 else 1.2)))
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_name("house.png"), dpi=150)
