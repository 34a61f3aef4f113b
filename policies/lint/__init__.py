"""Finds mistakes in policy files that do not keep them from being loaded. One function a mistake, in modules by subject."""

from __future__ import annotations

from policies.lint import checks, conditions, examples, exceptions, head, marks, rules, wording
from policies.lint.registry import LINTS, Level, Lint, Note, lint
from policies.lint.run import LOAD, Finding, Report, examine, files_of, mistaken
from policies.lint.subject import Subject

__all__ = ["LINTS", "LOAD", "Finding", "Level", "Lint", "Note", "Report", "Subject", "examine", "files_of", "lint", "mistaken"]
MODULES = (rules, conditions, wording, examples, checks, marks, exceptions, head)
"""Where the lints are, in the order of documentation."""
