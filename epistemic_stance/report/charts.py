"""Charts as SVG, drawn when the report is built. The only place that imports matplotlib.

Each chart is small enough for a telephone; several stand side by side where there is room. Series differ by marker and
dash as well as by colour.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from epistemic_stance.records.analysis import RateRecord
from epistemic_stance.report.layout import Chart
from epistemic_stance.report.svg import FAINT, INK, SERIES, embedded

WIDTH, HEIGHT = 340, 230
POINTS = 72
"""Of an inch; one point of the drawing is one pixel of the page."""
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 34
BARE_TOP = 8
"""Above a chart without a legend."""
STEPS = (1, 2, 2.5, 5, 10)
LABELS = 150
"""Width of the names beside rows."""
ROW = 21
MARKERS, DASHES = ("D", "o", "s", "^"), (":", "-", "--", "-.")
SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


@dataclass(frozen=True)
class Series:
    """Values over epochs, with intervals where `lows` and `highs` are given; None is a gap."""

    name: str
    epochs: Sequence[float]
    values: Sequence[float]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()
    colour: int = 1
    line: bool = True


@dataclass(frozen=True)
class Range:
    """One row: a rate before and after, each with its interval."""

    name: str
    before: RateRecord | None
    after: RateRecord | None


def over_epochs(
    name: str,
    title: str,
    series: Sequence[Series],
    *,
    share: bool = False,
    bound: float | None = None,
    chosen: float | None = None,
) -> Chart:
    """Lines over epochs.

    share: values are 0 to 1 and shown in percent. bound, chosen: a dashed line at a value, a dotted one at an epoch.
    """
    with _settings(name):
        figure, axes = _figure(HEIGHT, LEFT, TOP if len(series) > 1 else BARE_TOP)
        for each in series:
            _draw(axes, each)
        if bound is not None:
            axes.axhline(bound, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        if chosen is not None:
            axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        if share:
            _in_percent(axes, series, bound)
        axes.set_xlabel("epoch (0: base model)" if any(0 in each.epochs for each in series) else "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        if len(series) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncol=3, borderpad=0, **_LEGEND)
        return _chart(figure, name, title, "; ".join(_said(each, share) for each in series))


def before_and_after(name: str, title: str, rows: Sequence[Range]) -> Chart:
    """Rates in percent, before hollow and after filled, each with its interval."""
    with _settings(name):
        figure, axes = _figure(BARE_TOP + BOTTOM + ROW * len(rows), LABELS, BARE_TOP)
        for number, row in enumerate(rows):
            for rate, up, colour in ((row.before, 0.14, SERIES[0]), (row.after, -0.14, SERIES[1])):
                if rate is None:
                    continue
                here = -number + up
                axes.plot([100 * rate.low, 100 * rate.high], [here, here], color=colour, linewidth=1.4)
                after = colour == SERIES[1]
                axes.plot(
                    [100 * rate.estimate],
                    [here],
                    marker="o" if after else "D",
                    markersize=5 if after else 4.5,
                    color=colour,
                    markerfacecolor=colour if after else "none",
                    linestyle="none",
                )
        axes.set_yticks([-number for number in range(len(rows))], [row.name for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("percent of answers")
        axes.spines["left"].set_visible(False)
        said = "; ".join(f"{row.name}: {_rate(row.before)} before, {_rate(row.after)} after" for row in rows)
        return _chart(figure, name, title, said)


_LEGEND = {"handlelength": 1.6, "columnspacing": 1.0, "handletextpad": 0.4}


@contextmanager
def _settings(name: str) -> Iterator[None]:
    """Ours alone, whatever the user's own matplotlibrc says; the same figures give the same bytes."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**SETTINGS, "svg.hashsalt": name})
        yield


def _figure(height: float, left: float, top: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / POINTS, height / POINTS), dpi=POINTS)
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    box = (left / WIDTH, BOTTOM / height, (WIDTH - left - RIGHT) / WIDTH, (height - BOTTOM - top) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    return figure, axes


def _draw(axes: Axes, series: Series) -> None:
    colour, few = SERIES[series.colour], len(series.epochs) <= 25
    axes.plot(
        list(series.epochs),
        list(series.values),
        color=colour,
        linewidth=1.6,
        linestyle=DASHES[series.colour] if series.line else "none",
        marker=MARKERS[series.colour] if few else "none",
        markersize=4.5,
        markerfacecolor=colour if series.colour != 0 else "none",
        label=series.name,
    )
    for epoch, low, high in zip(series.epochs, series.lows, series.highs, strict=False):
        if low is not None and high is not None:
            axes.plot([epoch, epoch], [low, high], color=colour, linewidth=1.2)


def _in_percent(axes: Axes, series: Sequence[Series], bound: float | None) -> None:
    highest = [value for each in series for value in (*each.values, *each.highs) if value is not None]
    top = max([*highest, bound or 0.0, 0.05])
    axes.set_ylim(0, min(1.04, top * 1.12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))


def _said(series: Series, share: bool) -> str:
    known = [(epoch, value) for epoch, value in zip(series.epochs, series.values, strict=True) if not math.isnan(value)]
    if not known:
        return f"{series.name}: nothing known"
    told = [f"{100 * value:.0f} percent" if share else f"{value:.3g}" for _, value in (known[0], known[-1])]
    return f"{series.name}: {told[0]} at epoch {known[0][0]:.3g}, {told[1]} at epoch {known[-1][0]:.3g}"


def _rate(rate: RateRecord | None) -> str:
    return "unknown" if rate is None else f"{100 * rate.estimate:.0f} percent"


def _chart(figure: Figure, name: str, title: str, description: str) -> Chart:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return embedded(stream.getvalue(), name, title, description)
