"""How often can `dissociated` show that recognition in the upper half is unchanged?

Scores of n triples: harmful N(d, 1), near N(0, 1), d so that the AUROC is 0.75. Without the circuit, about the means,
(x + e · noise) / √(1 + e²), noise N(0, 1): each score is perturbed by e standard deviations, and the true AUROC stays, or falls
by the margin. Shares of runs that are found equivalent within ± 0.05; where it falls, that is an error. Testable: an observed
change of 0 would have been shown. One core, under two minutes:

    python benchmarks/equivalence_power.py
"""

import argparse

import numpy as np
from scipy.stats import norm

from harmcircuits.statistics import Equivalence, auroc_change, equivalent_within

MARGIN = 0.05
PERTURBED = (0.05, 0.1, 0.2, 0.3)


def drawn(n: int, e: float, fall: float, level: float, auroc: float, random: np.random.Generator) -> Equivalence:
    """One run: the upper half of 2n triples, tested as `claims.dissociated.tokens.same_tokens` tests it."""
    apart = [2**0.5 * norm.ppf(area) for area in (auroc, auroc - fall)]
    own = random.standard_normal((n, 2))
    changed = (own + e * random.standard_normal((n, 2))) / (1 + e * e) ** 0.5
    before, after = (scores + np.array([d, 0.0]) for scores, d in zip((own, changed), apart, strict=True))
    change = auroc_change(before, after, level=2 * level - 1, draws=1000, seed=int(random.integers(2**31)))
    return equivalent_within(change, margin=MARGIN, level=level)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--auroc", type=float, default=0.75)
    parser.add_argument("--triples", type=int, nargs="*", default=[40, 80], help="in the upper half")
    options = parser.parse_args()

    columns = ["triples in the half", "e", "shown, at 5 %", "testable", "shown, at 5 % of three grains", "shown though it fell"]
    print(f"| {' | '.join(columns)} |")
    print(f"| {' | '.join('---' for _ in columns)} |")
    for n in options.triples:
        for e in PERTURBED:
            shares = []
            for fall, level in ((0.0, 0.95), (0.0, 1 - 0.05 / 3), (MARGIN, 0.95)):
                random = np.random.default_rng([n, round(100 * e), round(1000 * fall)])
                runs = [drawn(n, e, fall, level, options.auroc, random) for _ in range(options.runs)]
                shares.append([np.mean([run.equivalent for run in runs]), np.mean([run.testable for run in runs])])
            cells = [shares[0][0], shares[0][1], shares[1][0], shares[2][0]]
            print(f"| {n} | {e:g} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
