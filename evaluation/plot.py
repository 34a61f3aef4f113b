"""Draws the ROC curve and the reliability diagram of a report, with matplotlib (extra `eval`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evaluation.metrics import reliability, roc_curve
from evaluation.run import Report
from evaluation.tables import NEEDS_EXTRA
from guard.errors import InputError

_DOTS_PER_INCH = 120


def ready(file: Path) -> None:
    """Raise InputError when no plot could be written there, before an hour of measuring."""
    from importlib.util import find_spec

    if file.suffix.lower() != ".png":
        raise InputError(f"{file}: found the ending {file.suffix!r}, expected .png")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise InputError(f"{file}: found no folder that can be written to, expected one for the plot")
    if find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib, found none", advice=NEEDS_EXTRA)


def plot(report: Report, file: Path) -> None:
    """Write both diagrams as one PNG. Raises InputError when the file cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _roc(left, report)
    _reliability(right, report)
    summary = report.summary
    figure.suptitle(f"{summary['use']}: {summary['n']} texts, {summary['positives']} positive, {summary['errors']} errors")
    try:
        figure.savefig(file, dpi=_DOTS_PER_INCH, format="png")
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or type(error).__name__}") from None


def _roc(axes: Any, report: Report) -> None:
    curve = roc_curve(report.scores, report.truths)
    area = report.summary["roc_auc"]
    axes.plot([0, 1], [0, 1], color="0.75", linestyle="--", linewidth=1)
    if curve:
        axes.plot(*zip(*curve, strict=True), color="tab:blue", label=f"area {area:.3f}")
        axes.legend(loc="lower right")
    else:
        axes.text(0.5, 0.4, "no curve: one class only", ha="center")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC", xlim=(0, 1), ylim=(0, 1.01))


def _reliability(axes: Any, report: Report) -> None:
    bins = reliability(report.scores, report.truths)
    axes.plot([0, 1], [0, 1], color="0.75", linestyle="--", linewidth=1)
    axes.plot([one.mean_score for one in bins], [one.positive_share for one in bins], marker="o", color="tab:blue")
    for one in bins:
        axes.annotate(
            str(one.count), (one.mean_score, one.positive_share), textcoords="offset points", xytext=(0, 6), ha="center"
        )
    error = report.summary["ece"]
    title = "reliability" if error is None else f"reliability, calibration error {error:.3f}"
    axes.set(xlabel="mean score", ylabel="share of positives", title=title, xlim=(0, 1), ylim=(0, 1.08))
