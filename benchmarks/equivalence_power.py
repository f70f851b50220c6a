"""How often can `dissociated` show that recognition in the upper half is unchanged?

Scores of n triples: harmful N(d, 1), near N(0, 1), d so that the AUROC is 0.75. Without the circuit, about the means,
(x + e · noise) / √(1 + e²), noise N(0, 1): each score is perturbed by e standard deviations, and the true AUROC stays, or falls
by the margin. Shares of runs that are found equivalent within ± 0.05; where it falls, that is an error. Testable: an observed
change of 0 would have been shown. One core, under two minutes:

    python benchmarks/equivalence_power.py --out docs/results/equivalence_power.json
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from harmcircuits import store
from harmcircuits.statistics import Equivalence, auroc_change, equivalent_within, wilson

MARGIN = 0.05
PERTURBED = (0.05, 0.1, 0.2, 0.3)
SHARES = ("shown, at 5 %", "testable", "shown, at 5 % of three grains", "shown though it fell")


def drawn(n: int, e: float, fall: float, level: float, auroc: float, random: np.random.Generator) -> Equivalence:
    """One run: the upper half of 2n triples, tested as `claims.dissociated.tokens.same_tokens` tests it."""
    apart = [2**0.5 * norm.ppf(area) for area in (auroc, auroc - fall)]
    own = random.standard_normal((n, 2))
    changed = (own + e * random.standard_normal((n, 2))) / (1 + e * e) ** 0.5
    before, after = (scores + np.array([d, 0.0]) for scores, d in zip((own, changed), apart, strict=True))
    change = auroc_change(before, after, level=2 * level - 1, draws=1000, seed=int(random.integers(2**31)))
    return equivalent_within(change, margin=MARGIN, level=level)


def row(n: int, e: float, runs: int, auroc: float) -> dict[str, Any]:
    """Of one line of the table: each share of the runs with its own 95 % interval."""
    found: dict[str, list[Equivalence]] = {}
    for name, fall, level in (("one", 0.0, 0.95), ("of three", 0.0, 1 - 0.05 / 3), ("fell", MARGIN, 0.95)):
        random = np.random.default_rng([n, round(100 * e), round(1000 * fall)])
        found[name] = [drawn(n, e, fall, level, auroc, random) for _ in range(runs)]
    shown = {name: wilson(sum(one.equivalent for one in own), runs).to_json() for name, own in found.items()}
    testable = wilson(sum(one.testable for one in found["one"]), runs).to_json()
    values = (shown["one"], testable, shown["of three"], shown["fell"])
    return {"triples in the half": n, "e": e} | dict(zip(SHARES, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--auroc", type=float, default=0.75)
    parser.add_argument("--triples", type=int, nargs="*", default=[40, 80], help="in the upper half")
    parser.add_argument("--out", type=Path, help="a JSON file for the shares and their intervals")
    options = parser.parse_args()

    columns = ["triples in the half", "e", *SHARES]
    print(f"| {' | '.join(columns)} |")
    print(f"| {' | '.join('---' for _ in columns)} |")
    rows = []
    for n in options.triples:
        for e in PERTURBED:
            rows.append(row(n, e, options.runs, options.auroc))
            print(f"| {n} | {e:g} | {' | '.join(format(rows[-1][name]['value'], '.2f') for name in SHARES)} |", flush=True)
    if options.out:
        command = shlex.join(["python", *sys.argv])
        store.write_json(options.out, {"command": command, "n": options.runs, "rows": rows})


if __name__ == "__main__":
    main()
