"""The one family of exceptions."""


class SymconvError(ValueError):
    """A request that cannot be met; the text names the argument, its value and what would be valid."""


class NotRecognisedError(Exception):
    """A sum is not of the kind that somebody looks for; another kind may fit."""


class KernelError(Exception):
    """A kernel that is not valid: it reaches outside a buffer, or reads what nothing has written."""
