"""Every kind of figure by one standard: widths, size of letters, one legend, no text on another, words for names."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayeslaw import models, plots
from bayeslaw.plots import style
from bayeslaw.plots.panels import MOST_PANELS, grid
from tests.gallery import KINDS
from tests.stand_ins import stand_in


@pytest.fixture(scope="module", params=KINDS)
def figure(request: Any) -> Figure:
    drawn = KINDS[request.param][2]()
    FigureCanvasAgg(drawn).draw()
    return drawn


def texts(figure: Figure) -> Iterator[Text]:
    """Every text that can be seen, ticks within the limits only."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and all(np.isfinite(text.get_window_extent().bounds)):
            yield text


def seen(figure: Figure) -> list[Text]:
    hidden = {id(label) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in off_scale(axis)}
    gone = {id(text) for ax in figure.axes if not ax.get_visible() for text in ax.findobj(Text)}
    gone |= {id(t) for ax in figure.axes if not ax.axison for axis in (ax.xaxis, ax.yaxis) for t in axis.findobj(Text)}
    return [text for text in texts(figure) if id(text) not in hidden | gone]


def off_scale(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        if not low <= tick.get_loc() <= high:
            yield from (tick.label1, tick.label2)


def test_a_figure_is_as_wide_as_one_column_or_two_and_has_few_panels(figure):
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert figure.get_figwidth() == (style.COLUMN if len(panels) == 1 else style.FULL)
    assert len(panels) <= 2 * MOST_PANELS


def test_all_letters_have_one_size(figure):
    sizes = {text.get_fontsize() for text in seen(figure)}
    assert sizes <= {style.FONT, 0.8 * style.FONT} and style.FONT in sizes


def test_one_legend_and_one_caption(figure):
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    assert len(legends) <= 1
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert len(set(titles)) == len(titles)


def test_no_text_lies_on_another_or_outside(figure):
    boxes = [(text.get_text(), text.get_window_extent()) for text in seen(figure)]
    whole = figure.bbox.padded(3)
    for text, box in boxes:
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, text
    for (one, first), (two, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across <= 2 or up <= 2, (one, two)


def test_ticks_are_numbers_without_offsets(figure):
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            assert not axis.get_offset_text().get_text()
            labels = [text.get_text() for text in axis.get_ticklabels() if text.get_text()]
            assert len(set(labels)) == len(labels), labels
            assert not any(re.search(r"1e|\\mathdefault|\$", label) for label in labels)


def test_names_are_words(figure):
    spoken = [*(ax.get_xlabel() for ax in figure.axes), *(ax.get_ylabel() for ax in figure.axes)]
    spoken += [ax.get_title(loc="left") for ax in figure.axes]
    assert not any("_" in text for text in spoken)


def test_alternative_texts_say_what_one_sees():
    alts = [alt for _, alt, _ in KINDS.values()]
    assert len(set(alts)) == len(alts) and all(len(alt) > 40 and "plot" not in alt.lower() for alt in alts)


def test_every_function_that_plots_is_in_the_gallery():
    shown = " ".join(caption for caption, _, _ in KINDS.values())
    apart = {"plot_calibration", "plot_forest", "plot_intervals", "plot_quantity"}  # of several fits or refits
    assert {name for name in plots.__all__ if name not in shown} == apart


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([2.7, 2.705, 2.71], ["2.7", "2.705", "2.71"]),
        ([0, 1e10, 2e10], ["0", "10 B", "20 B"]),
        ([1e-4, 2e-4], ["0.0001", "0.0002"]),
        ([-0.2, -1e-17, 0.2], ["-0.2", "0", "0.2"]),
        ([1.0e9, 1.001e9, 1.002e9], ["1 B", "1.001 B", "1.002 B"]),
    ],
)
def test_ticks_can_be_told_apart(values, labels):
    assert style.Ticks().format_ticks(values) == labels


def test_a_long_title_is_broken_and_never_reaches_the_next_panel():
    name = "domain share 0.33, k1 2.2, k2 0.4, domain chemistry, N 500 M"

    def draw(panel: int, ax: Axes) -> None:
        ax.plot([0, 1], [0, 1])
        style.finish(ax, f"{name} {panel}")

    figure = grid(range(3), draw)
    FigureCanvasAgg(figure).draw()
    boxes = [ax._left_title.get_window_extent() for ax in figure.axes]  # type: ignore[attr-defined]
    assert all(left.x1 < right.x0 for left, right in zip(boxes[:-1], boxes[1:], strict=True))


def test_forty_panels_are_twelve():
    figure = grid(range(40), lambda n, ax: style.finish(ax, str(n)))
    assert len([ax for ax in figure.axes if ax.get_visible()]) == MOST_PANELS


def test_panels_share_limits_unless_that_would_flatten_one():
    def of(heights):
        def draw(height, ax):
            ax.plot([0, 1], [0, height], label="loss")
            ax.set(xlabel="x", ylabel="y")
            style.finish(ax)

        return [ax.get_ylim() for ax in grid(heights, draw).axes]

    alike, apart = of([1.0, 0.8, 0.9]), of([1.0, 100.0, 1.0])
    assert len(set(alike)) == 1 and len(set(apart)) > 1


def test_a_prediction_is_drawn_as_a_curve_between_the_values_asked_for(table_for):
    fit = stand_in(models.chinchilla, table_for)
    asked = fit.predict(N=1e9, D=[1e8, 5e10])
    ax = asked.plot()
    x, y = ax.lines[0].get_data()
    assert len(x) >= 61 and ax.get_xscale() == "log"
    middle = len(x) // 2
    np.testing.assert_allclose(y[middle], fit.predict(N=1e9, D=float(x[middle])).median().item())
    assert ax.get_ylabel() == "loss (nats per token)" and "at N 1 B" in ax.get_title(loc="left").replace("\n", " ")
    plt.close("all")


def test_both_bands_of_what_was_learned_fill_their_axes(table_for):
    figure = KINDS["learned"][2]()
    for ax in figure.axes:
        band = ax.collections[0].get_datalim(ax.transData)
        low, high = ax.get_ylim()
        assert band.height > 0.25 * (high - low)


def test_coverage_is_sorted_and_marks_what_chance_does_not_explain():
    ax = plots.plot_coverage({"good": (89, 100), "bad": (60, 100), "better": (93, 100)}, Figure().subplots())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["bad", "good", "better"]
    inside, outside = (np.asarray(line.get_xdata()).tolist() for line in ax.lines[:2])
    assert inside == [0.89, 0.93] and outside == [0.6]
