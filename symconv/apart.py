"""A call in a process of its own, which machine code may end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from symconv.check.report import Report, Result

PROGRAM = """\
import pickle, sys
from symconv.errors import SymconvError
from symconv.verbs import check_file
try:
    found = check_file(sys.argv[1])
except SymconvError as error:
    found = error
with open(sys.argv[2], "wb") as file:
    pickle.dump(found, file)
"""


def checked_apart(path: Path) -> Report:
    """Return the report on a file of machine code; if that ends the process, this is the report.

    Raises
    ------
    SymconvError
        If the file cannot be checked.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "report")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path), str(answer)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if answer.exists():
            found = pickle.loads(answer.read_bytes())
            if isinstance(found, Exception):
                raise found
            assert isinstance(found, Report)  # what the program above writes
            return found
    if done.returncode < 0:
        said = f"ends the process by {signal.Signals(-done.returncode).name}"
    else:
        said = f"ends the process: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}"
    return Report(str(path), (Result("the module", "exact", False, said),))
