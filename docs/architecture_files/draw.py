"""The picture of docs/architecture.md: python -m docs.architecture_files.draw

Floors and imports are those of tests/whole/test_house.py; the words in a room are the summary of its docstring.
"""

import ast
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tests.whole.test_house import FLOORS, IMPORTS, MODULES

INK, QUIET = "#1a1a1a", "#4d4d4d"
FROM_THE_GROUND_UP = LinearSegmentedColormap.from_list("house", ["#f4e4d4", "#f6f0dd", "#dbeaf6", "#d9f0e6"])
WIDTH, STAIRS, LANE = 8.0, 0.26, 0.28
"""Inches: a floor's width, the gap to the next one, and what stands between arrows that pass floors by."""
TITLE, LINE = 0.34, 0.16
"""Inches: heights of a room's title and of a line of text."""

Room = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def stairs() -> Iterator[tuple[str, str]]:
    """Return the imports between rooms that do not follow from others: from each room to the next ones below it."""
    below: dict[str, set[str]] = {}
    for room in (room for floor in FLOORS for room in floor):
        inside = (others for module, others in IMPORTS.items() if module.split(".")[0] == room)
        direct = {other.split(".")[0] for others in inside for other in others} - {room}
        below[room] = direct.union(*(below[other] for other in direct))
        yield from ((room, other) for other in sorted(direct) if not any(other in below[o] for o in direct))


def words(room: str, width: float) -> list[str]:
    """Return the summary of a room's docstring in lines."""
    text = ast.get_docstring(ast.parse(MODULES[room].read_text(encoding="utf-8"))) or ""
    return wrap(text.split("\n\n")[0].replace("`", ""), int(width * 14.3))


def rooms(ax: Axes) -> dict[str, Room]:
    """Draw the rooms, the ground at the bottom, and return where they are."""
    found: dict[str, Room] = {}
    bottom = 0.0
    for number, floor in enumerate(FLOORS):
        width = (WIDTH - STAIRS * (len(floor) - 1)) / len(floor)
        said = {room: words(room, width) for room in floor}
        height = TITLE + LINE * max(map(len, said.values())) + 0.04
        for k, (room, lines) in enumerate(said.items()):
            left, top, path = k * (width + STAIRS), bottom + height, MODULES[room]
            name = path.name if room in ("__init__", path.stem) else f"{room}/"
            colour, style = FROM_THE_GROUND_UP(number / (len(FLOORS) - 1)), "round,pad=0,rounding_size=0.07"
            ax.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle=style, fc=colour, ec=INK, lw=0.8))
            ax.text(left + 0.14, top - 0.18, name, va="center", fontsize=11, weight="bold", color=INK)
            ax.text(left + width - 0.14, top - 0.18, number, va="center", ha="right", fontsize=9, color=QUIET)
            for n, text in enumerate(lines):
                ax.text(left + 0.14, top - TITLE - LINE * (n + 0.4), text, va="center", fontsize=9, color=QUIET)
            found[room] = (left, bottom, left + width, top)
        bottom += height + STAIRS
    return found


def arrow(ax: Axes, *points: tuple[float, float]) -> None:
    """Draw an arrow along points."""
    ax.plot(*zip(*points, strict=True), color=INK, lw=1, solid_joinstyle="round")
    head = {"arrowstyle": "-|>", "color": INK, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=head)


def draw() -> Figure:
    """Draw the house."""
    figure = Figure()
    ax = figure.add_axes((0, 0, 1, 1))
    found = rooms(ax)
    taken: list[tuple[float, float, float]] = []
    for upper, lower in sorted(stairs(), key=lambda pair: found[pair[0]][1] - found[pair[1]][3]):
        (left, bottom, right, top), (left_below, bottom_below, right_below, top_below) = found[upper], found[lower]
        if bottom - top_below < 1.5 * STAIRS:
            start = end = (max(left, left_below) + min(right, right_below)) / 2
            if right < left_below:
                start, end = right - 0.4, left_below + 0.4
            elif right_below < left:
                start, end = left + 0.4, right_below - 0.4
            half = (bottom + top_below) / 2
            arrow(ax, (start, bottom), (start, half), (end, half), (end, top_below))
            continue
        wall, outward = (WIDTH, 1) if right == right_below == WIDTH else (0, -1)
        start, end = top - TITLE, bottom_below + 0.6 * TITLE
        lanes = (wall + outward * LANE * n for n in count(1))
        lane = next(x for x in lanes if all(x != x_ or low >= start or high <= end for x_, low, high in taken))
        taken.append((lane, end, start))
        arrow(ax, (wall, start), (lane, start), (lane, end), (wall, end))
    beside = [lane for lane, *_ in taken]
    low, high, height = min(0, *beside) - 0.1, max(WIDTH, *beside) + 0.1, max(room[3] for room in found.values())
    ax.set(xlim=(low, high), ylim=(-0.05, height + 0.05))
    ax.set_axis_off()
    figure.set_size_inches(high - low, height + 0.1)
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_name("house.png"), dpi=150)
