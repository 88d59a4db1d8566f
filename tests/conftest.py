"""What the tests share: how much they search, on how many threads, and what only CI installs."""

from __future__ import annotations

import os

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"  # there is a process for each core: before NumPy is imported

import resource  # noqa: E402  # the line above must come first
import shutil  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from importlib.util import find_spec  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from hypothesis.database import DirectoryBasedExampleDatabase  # noqa: E402

from tests.effort import FULL, many  # noqa: E402

hypothesis.settings.register_profile(
    "short",
    max_examples=many(500),
    deadline=None,  # machines are shared: no test asserts a time
    derandomize=True,
    database=None,
)
hypothesis.settings.register_profile(
    "full",
    max_examples=many(500),
    deadline=None,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),  # failures are tried again first
)
hypothesis.settings.load_profile("full" if FULL else "short")

OPTIONAL = {name: find_spec(name) is not None for name in ("torch", "islpy", "z3")}
OPTIONAL["pdflatex"] = bool(shutil.which("pdflatex"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): needs what only CI installs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine lacks, by name; SYMCONV_FULL=1 makes that a failure instead."""
    for item in items:
        for mark in item.iter_markers("needs"):
            if not OPTIONAL[mark.args[0]] and not FULL:
                item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]} is not installed"))


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    """Say how much CPU time the run took: this process's, and that of all it started."""
    yield
    if not hasattr(config, "workerinput"):  # of a run on several cores only the process that starts it
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(f"{sum(u.ru_utime + u.ru_stime for u in used):.0f} s of CPU time")
