"""The algorithms that compute a canonical correlation, and what each is expected to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from symconv.lower.columns import Columns
from symconv.lower.direct import Direct
from symconv.lower.fourier import Fourier
from symconv.lower.joined import Joined
from symconv.lower.joined_filters import JoinedFilters
from symconv.lower.joined_phases import JoinedPhases
from symconv.lower.joined_taps import JoinedTaps
from symconv.lower.joined_winograd import JoinedWinograd
from symconv.lower.phases import Phases
from symconv.lower.planes import Planes
from symconv.lower.pointwise import Pointwise
from symconv.lower.rows import Rows
from symconv.lower.scatter import Scatter
from symconv.lower.shift import Shift
from symconv.lower.table import Table
from symconv.lower.winograd import Winograd

Algorithm: TypeAlias = (
    Table
    | Pointwise
    | Columns
    | Rows
    | Shift
    | Planes
    | Phases
    | Scatter
    | Winograd
    | Fourier
    | Direct
    | Joined
    | JoinedPhases
    | JoinedFilters
    | JoinedTaps
    | JoinedWinograd
)


@dataclass(frozen=True)
class Candidate:
    """An algorithm that applies, and its time in microseconds: estimated, or measured."""

    algorithm: Algorithm
    microseconds: float
    measured: bool = False
