"""What the indices are called, by number of spatial axes."""

POSITIONS = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
TAPS = {1: ("i",), 2: ("i", "j"), 3: ("h", "i", "j")}
CELLS = {1: ("u",), 2: ("u", "v"), 3: ("t", "u", "v")}
QUOTIENTS = {1: ("a",), 2: ("a", "b"), 3: ("a", "b", "e")}
INDICES = {"n", "g", "o", "c"}.union(
    *(names[rank] for names in (POSITIONS, TAPS, CELLS) for rank in names)
)


def element(rank: int) -> tuple[str, ...]:
    """Return names for the indices of a whole tensor: image, channel, then positions."""
    return ("n", "c", *POSITIONS.get(rank - 2, ()))[:rank] if rank <= 5 else tuple("ncabdefghi"[:rank])
