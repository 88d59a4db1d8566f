"""What the tests share: how much they search, on how many threads, and what only CI installs."""

from __future__ import annotations

import os

for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"  # there is a process for each core: before NumPy is imported

import resource  # noqa: E402  # the line above must come first
import shutil  # noqa: E402
import subprocess  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from importlib.util import find_spec  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from hypothesis.database import DirectoryBasedExampleDatabase  # noqa: E402

from tests.effort import CASES, FULL, SEARCH, many  # noqa: E402

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
    derandomize=True,  # the verdict on a commit is no matter of luck
    database=None,
)
hypothesis.settings.register_profile(
    "search",
    max_examples=many(500),
    deadline=None,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),  # failures are tried again first
)
hypothesis.settings.load_profile("search" if SEARCH else "full" if FULL else "short")


def _has(*files: str) -> bool:
    """Whether LaTeX finds these files."""
    command = ["kpsewhich", *files]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return len(found.split()) == len(files)


OPTIONAL = {name: find_spec(name) is not None for name in ("torch", "jax", "islpy", "z3", "resvg_py")}
OPTIONAL["pdflatex"] = bool(shutil.which("pdflatex"))
OPTIONAL["tikz"] = OPTIONAL["pdflatex"] and _has("tikz.sty", "beamer.cls")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONAL["browser"] = BROWSER is not None and find_spec("playwright") is not None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): needs what only CI installs")
    config.addinivalue_line("markers", "every: the short run takes every case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take a few cases of each test in the short run, evenly spread; leave out what is missing here.

    What is not installed is left out by name; in the full run that is a failure instead.
    """
    if not FULL:
        kept, left = _few_cases(items)
        config.hook.pytest_deselected(items=left)
        items[:] = kept
    for item in items:
        for mark in item.iter_markers("needs"):
            if not OPTIONAL[mark.args[0]] and not FULL:
                item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]} is not installed"))


def _few_cases(items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Return the cases that are taken of every test with many of them, and the others."""
    tests: dict[tuple[object, str], list[pytest.Item]] = {}
    for item in items:
        name = getattr(item, "originalname", None) or item.name
        tests.setdefault((item.path, name), []).append(item)
    taken: set[pytest.Item] = set()
    for cases in tests.values():
        step = 1 if cases[0].get_closest_marker("every") else -(-len(cases) // CASES)
        taken |= set(cases[::step])
    return [item for item in items if item in taken], [item for item in items if item not in taken]


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    """Say how much CPU time the run took: this process's, and that of all it started."""
    yield
    if not hasattr(config, "workerinput"):  # of a run on several cores only the process that starts it
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(f"{sum(u.ru_utime + u.ru_stime for u in used):.0f} s of CPU time")
