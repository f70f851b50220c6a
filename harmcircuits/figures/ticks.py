"""Ticks of axes that count."""


def whole_ticks(numbers: float, *, few: int = 8, most: int | None = None) -> dict[str, int]:
    """What an axis of whole numbers is told beside its format: plotly would put ticks between them, where there are few.

    Args:
        numbers: how many it shows: layers, or one more than the largest index or count.
        few: so many have a tick each.
        most: ticks of an axis that shows more; None: plotly decides.

    >>> whole_ticks(8), whole_ticks(9), whole_ticks(9, most=4)
    ({'dtick': 1}, {}, {'nticks': 4})
    """
    if numbers <= few:
        return {"dtick": 1}
    return {} if most is None else {"nticks": most}
