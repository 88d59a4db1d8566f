"""What the tests share: how Hypothesis runs, and that nothing optional is missing in the full run."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "symconv",
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("symconv")

OPTIONAL = {name: find_spec(name) is not None for name in ("torch", "islpy", "z3")}
OPTIONAL["pdflatex"] = bool(shutil.which("pdflatex"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): needs what only CI installs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine lacks, by name; SYMCONV_FULL=1 makes that a failure instead."""
    full = os.environ.get("SYMCONV_FULL") == "1"
    for item in items:
        for mark in item.iter_markers("needs"):
            if not OPTIONAL[mark.args[0]] and not full:
                item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]} is not installed"))
