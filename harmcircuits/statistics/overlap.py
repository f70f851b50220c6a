"""Whether two sets of a finite population have more in common than sets drawn at random."""

from scipy.stats import hypergeom


def overlap_p_value(both: int, one: int, other: int, population: int) -> float:
    """P(X ≥ both) for X, what two random sets of `one` and `other` members out of `population` have in common.

    Hypergeometric: X ~ C(one, x) · C(population − one, other − x) / C(population, other). Small: more than chance.

    Raises:
        ValueError: sizes that no sets have.

    >>> round(overlap_p_value(2, 2, 2, 5), 3)  # both pairs the same, of 10 pairs
    0.1
    """
    if not 0 <= both <= min(one, other) <= max(one, other) <= population or one + other - both > population:
        raise ValueError(f"no two sets of {one} and {other} out of {population} have {both} members in common")
    return float(hypergeom.sf(both - 1, population, one, other))
