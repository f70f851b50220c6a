"""How often a 95 % interval of a mean holds the true one, of samples smaller than those that `simulated.py` asks about.

    python benchmarks/small_samples.py --samples 1000 --out docs/results/small_samples.json

Values are drawn from a normal and from an exponential distribution less its mean, both about 0; strata have the same mean, so
that they take nothing away from the spread and cost what few members cost.
"""

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm.auto import tqdm

from harmcircuits import store
from harmcircuits.statistics import mean_estimate, wilson

STRATA = (
    (3,), (4,), (5,), (6,), (8,), (4, 4), (2,) * 4, (10,), (5, 5), (3,) * 4, (16,), (2,) * 4 + (8,), (2,) * 8, (4,) * 4,
    (3,) * 8, (2,) * 12,
)  # fmt: skip
"""Members of each stratum."""
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Float[np.ndarray, " triple"]]] = {
    "normal": lambda random, n: random.standard_normal(n),
    "exponential": lambda random, n: random.exponential(size=n) - 1.0,
}
DRAWS = 400


def told(sizes: tuple[int, ...]) -> str:
    """
    >>> told((4, 4)), told((8,)), told((2, 2, 8))
    ('2 of 4', 'none', '2 of 2, 1 of 8')
    """
    return "none" if len(sizes) == 1 else ", ".join(f"{n} of {size}" for size, n in Counter(sizes).items())


def covered(sizes: tuple[int, ...], distribution: str, *, samples: int, seed: int) -> dict[str, Any]:
    """One row: the share of samples whose interval holds 0, with its own 95 % interval."""
    random = np.random.default_rng((seed, len(distribution), *sizes))
    strata = [str(at) for at, size in enumerate(sizes) for _ in range(size)] if len(sizes) > 1 else None
    held = 0
    for _ in range(samples):
        estimate = mean_estimate(
            DISTRIBUTIONS[distribution](random, sum(sizes)), strata=strata, draws=DRAWS, seed=int(random.integers(2**31))
        )
        held += estimate.low is not None and estimate.high is not None and estimate.low <= 0 <= estimate.high
    row = {"triples": sum(sizes), "strata": told(sizes), "distribution": distribution}
    return row | wilson(held, samples).to_json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/small_samples.json"))
    options = parser.parse_args()
    asked = [(sizes, distribution) for sizes in STRATA for distribution in DISTRIBUTIONS]
    rows = [
        covered(sizes, distribution, samples=options.samples, seed=options.seed)
        for sizes, distribution in tqdm(asked, desc="samples")
    ]
    store.write_json(options.out, {"command": shlex.join(["python", *sys.argv]), "n": options.samples, "rows": rows})


if __name__ == "__main__":
    main()
