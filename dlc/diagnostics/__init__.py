"""Diagnostics: what dlc says about a user's mistake, as data. Renderers live in `dlc.diagnostics.render`."""

from __future__ import annotations

from dlc.diagnostics.report import Diagnostic, Note, Problems, Report, Span, SpecError, lines_of, quoting
from dlc.diagnostics.wording import (
    article,
    bounded_suggestions,
    did_you_mean,
    human,
    listing,
    nearest,
    one_of,
    plural,
    reason,
)

__all__ = [
    "Diagnostic",
    "Note",
    "Problems",
    "Report",
    "Span",
    "SpecError",
    "article",
    "bounded_suggestions",
    "did_you_mean",
    "human",
    "lines_of",
    "listing",
    "nearest",
    "one_of",
    "plural",
    "quoting",
    "reason",
]
