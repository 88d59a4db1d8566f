"""A model that was read: its network, its parameters, and what each node of its file became."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.building import Array
from symconv.layers.network import Network
from symconv.onnx.fusing import Fusion


@dataclass(frozen=True)
class Reading:
    """A node of a file, and the layers of the network that compute it.

    ``layers`` is empty for one that was computed while the file was read, and for one that gives its
    input's value another name; ``note`` says which.
    """

    node: str
    operator: str
    layers: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Model:
    """What a file contains.

    Attributes
    ----------
    network
        The network.
    params
        Its parameters and running statistics, by name: the first argument of its module's functions.
        The parameters of a new head are missing.
    nodes
        What each node of the file became, in the file's order.
    values
        The layer, or the input, that each value of the file is.
    fusions
        Layers that became one, and the identities that allow it.
    """

    network: Network
    params: dict[str, Array]
    nodes: tuple[Reading, ...]
    values: dict[str, str]
    fusions: tuple[Fusion, ...] = ()
