"""The package's own exceptions. All others are those of the libraries that it calls."""


class HarmcircuitsError(ValueError):
    """Bad input, or something that is missing. The message says what is wrong, where, and the cure; it quotes no request."""


class SelectionError(HarmcircuitsError):
    """A circuit that these scores cannot give: too few components promote the behaviour, or none is left unprotected."""
