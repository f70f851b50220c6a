"""Simulated outcomes with a known truth, through the statistics that runs use.

Counted: false positives of tests, coverage of every interval, coverage by method of interval, power. Writes
results/simulated.json.

    python benchmarks/simulated.py
    python benchmarks/simulated.py --simulations 200 --out elsewhere
    python benchmarks/simulated.py --only "AUROCs near 1"
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm
from simulated_outcomes import BOOTSTRAP_DRAWS, MARGIN, Sample, Scenario, World, aurocs, scenarios, simulate

from harmcircuits import statistics as hs
from harmcircuits.statistics.paired_auroc import change_of_aurocs, retained_signal

DRAWS = {"draws": BOOTSTRAP_DRAWS}
EFFECTS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0)

Row = dict[str, Any]


def share(name: str, hits: Sequence[bool], **about: Any) -> Row:
    """A share with its exact binomial interval at 95 %."""
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    return {"name": name, **about, "n": len(hits), "value": float(np.mean(hits)), "low": interval.low, "high": interval.high}


def together(found: Sequence[Mapping[str, bool]], **about: Any) -> list[Row]:
    """One share a name."""
    return [share(name, [one[name] for one in found], **about) for name in found[0]]


def samples(truth: Scenario, n: int, simulations: int, look: Callable[[Sample], Any]) -> list[Any]:
    return [look(simulate(truth, n, seed)) for seed in range(simulations)]


def holds(estimate: hs.Estimate, truth: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def above(estimate: hs.Estimate) -> bool:
    return estimate.low is not None and estimate.low > 0


def covered(sample: Sample) -> Iterator[tuple[str, bool]]:
    """Whether each interval holds the truth."""
    truth, world = sample.world.truth, sample.world
    options: dict[str, Any] = {**DRAWS, "seed": world.n, "strata": world.category}
    auroc, change = aurocs(truth)
    before, after = ((one["nll_other"] - one["nll"])[:, 0] for one in (sample.baseline, sample.ablated))
    rise = sample.ablated["nll"] - sample.baseline["nll"]
    scores = (sample.baseline["in_place"][:, :2], sample.ablated["in_place"][:, :2])
    yield "mean (request information, skewed)", holds(hs.mean_estimate(before, **options), truth.information)
    yield "selectivity", holds(hs.paired_difference(rise[:, 0], rise[:, 1], **options), truth.selectivity)
    yield "AUROC", holds(hs.auroc_estimate(*scores[0].T, **options), auroc)
    yield "change of AUROC", holds(hs.auroc_change(*scores, **options), change)
    yield "ratio (retained information)", holds(hs.ratio_of_means(after, before, **options), 0.9)


def rejected(sample: Sample) -> Iterator[tuple[str, bool]]:
    """Whether each test of generation rejects."""
    rise, world = (sample.ablated["nll"] - sample.baseline["nll"])[:, :2], sample.world
    difference = hs.paired_difference(rise[:, 0], rise[:, 1], seed=world.n, strata=world.category, **DRAWS)
    yield "interval of the selectivity excludes 0", difference.excludes(0)
    p = hs.sign_flip_p(rise @ [1, -1], draws=999, seed=world.n).value
    yield "p by sign flips", p is not None and p <= 0.05


def equivalent(sample: Sample) -> bool:
    """Whether the change of the AUROC is shown to lie within the margin."""
    scores = (sample.baseline["in_place"][:, :2], sample.ablated["in_place"][:, :2])
    change = hs.auroc_change(*scores, level=0.9, seed=sample.world.n, strata=sample.world.category, **DRAWS)
    return bool(hs.equivalent_within(change, margin=MARGIN).equivalent)


def errors(known: Mapping[str, Scenario], n: int, simulations: int) -> list[Row]:
    """False positives of every test, and coverage (on half of the samples)."""
    about = {"scenario": "no effect", "triples": n}
    found = samples(known["no effect"], n, simulations, lambda sample: dict(rejected(sample)))
    rows = together(found, kind="false positives", **about)
    held = samples(known["no effect"], n, simulations // 2, lambda sample: dict(covered(sample)))
    rows += together(held, kind="coverage", **about)
    for scenario in ("fall of the margin", "fall of the margin near the ceiling"):
        hits = samples(known[scenario], n, simulations, equivalent)
        rows.append(share("equivalence", hits, kind="false positives", scenario=scenario, triples=n))
    return rows


def methods(truth: Scenario, n: int, simulations: int) -> list[Row]:
    """Coverage by method of interval, with and without strata."""
    found: dict[tuple[str, ...], list[bool]] = {}
    auroc = aurocs(truth)[0]
    for seed in range(simulations):
        sample = simulate(truth, n, seed)
        rise, scores = sample.ablated["nll"] - sample.baseline["nll"], sample.baseline["in_place"]
        parts = {
            "selectivity": (lambda x: x.mean(-1), (rise[:, 0] - rise[:, 1],), truth.selectivity),
            "mean (skewed)": (lambda x: x.mean(-1), (sample.world.information[:, 0],), truth.information),
            "AUROC": (hs.auroc, (scores[:, 0], scores[:, 1]), auroc),
        }
        options: dict[str, Any] = {**DRAWS, "seed": seed}
        for (part, (statistic, arrays, true)), method, strata in product(
            parts.items(), ("percentile", "expanded"), (None, sample.world.category)
        ):
            draws = hs.bootstrap_draws(statistic, *arrays, strata=strata, vectorised=True, **options)
            estimate = hs.from_draws(float(statistic(*arrays)), draws, n=n, method=method, strata=strata)  # type: ignore[arg-type]
            drawn = "all triples alike" if strata is None else "within categories"
            found.setdefault((part, method, drawn), []).append(holds(estimate, true))
    return [
        share(part, hits, kind="coverage by method", method=method, drawn=drawn, triples=n)
        for (part, method, drawn), hits in found.items()
    ]


def power(n: int, simulations: int) -> list[Row]:
    """How often a selectivity of so many standard deviations of the per-triple difference is shown."""
    spread = float((World(Scenario(), 100_000, np.random.default_rng(5)).rises(0.0)[0][:, :2] @ [1, -1]).std())
    rows = []
    for effect in EFFECTS:
        found = [selective(Scenario(selectivity=effect * spread), n, seed) for seed in range(simulations)]
        rows.append(share("interval", found, kind="power", effect=effect, triples=n))
    return rows


def selective(truth: Scenario, n: int, seed: int) -> bool:
    """Whether the selectivity's interval lies above 0."""
    world = World(truth, n, np.random.default_rng([seed, n]))
    rise = world.rises(truth.selectivity)[0][:, :2] @ [1, -1]
    shown = hs.mean_estimate(rise, seed=seed, strata=world.category, **DRAWS)
    return shown.low is not None and shown.low > 0


def promised(n: int, simulations: int) -> list[Row]:
    """Power at the effects that `detectable` and the like name: 0.8 is what it promises."""
    rng = np.random.default_rng(3)
    means = hs.detectable(1.0, n) + rng.normal(size=(simulations, n))
    shown = [hs.mean_estimate(one, seed=seed, **DRAWS).excludes(0) for seed, one in enumerate(means)]
    rows = [share("detectable", shown, kind="promised power", triples=n)]
    for held in (0.95, 0.5):
        about = {"kind": "promised power", "correlation": held}
        change = hs.detectable_auroc(n, correlation=held)
        enough = hs.n_for_equivalence(change * np.sqrt(n) / 2.8, MARGIN)
        gaps = np.sqrt(2) * norm.ppf([0.7 + change / 2, 0.7 - change / 2])
        moved = (scored(rng, n, *gaps, held) for _ in range(simulations))
        shown = [hs.auroc_change(*one, seed=seed, **DRAWS).excludes(0) for seed, one in enumerate(moved)]
        rows.append(share("detectable_auroc", shown, triples=n, **about))
        gap = np.sqrt(2) * norm.ppf(0.7)
        same = (scored(rng, enough, gap, gap, held) for _ in range(simulations))
        changes = (hs.auroc_change(*one, level=0.9, seed=seed, **DRAWS) for seed, one in enumerate(same))
        found = [hs.equivalent_within(one, margin=MARGIN).equivalent for one in changes]
        rows.append(share("n_for_equivalence", found, triples=enough, **about))
    return rows


def near_one(n: int, simulations: int) -> list[Row]:
    """Coverage of the change of an AUROC and of the retained signal: as `dissociate` has them, and of draws alone."""
    rows = []
    for before, after in ((0.8, 0.8), (0.8, 0.7), (0.95, 0.95), (0.95, 0.9), (0.99, 0.98)):
        rng, found = np.random.default_rng(n), []
        for seed in range(simulations):
            scores = scored(rng, n, *(np.sqrt(2) * norm.ppf([before, after])), 0.5)
            drawn = np.stack([hs.auroc_draws(*side.T, seed=seed, **DRAWS) for side in scores])
            areas = np.array([float(hs.auroc(*side.T)) for side in scores])
            with np.errstate(divide="ignore", invalid="ignore"):
                shares, share_of = ((values - 0.5)[1] / (values - 0.5)[0] for values in (drawn, areas))
            truth = {"change": after - before, "retained": (after - 0.5) / (before - 0.5)}
            alone = {"change": (areas[1] - areas[0], drawn[1] - drawn[0]), "retained": (share_of, shares)}
            used = {"change": change_of_aurocs(areas, drawn, n=n), "retained": retained_signal(areas, drawn, n=n)}
            held = {(part, "draws alone"): holds(hs.from_draws(*alone[part], n=n), truth[part]) for part in truth}
            found.append(held | {(part, "as used"): holds(used[part], truth[part]) for part in truth})
        about = {"kind": "coverage near 1", "triples": n, "before": before, "after": after}
        rows += [share(part, [one[part, how] for one in found], intervals=how, **about) for part, how in found[0]]
    return rows


def scored(rng: np.random.Generator, n: int, before: float, after: float, held: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores [triple, role] before and after, whose AUROCs correlate by about `held` (their ranks do)."""
    first, own = rng.normal(size=(2, n, 2))
    r = 2 * np.sin(np.pi * held / 6)
    second = r * first + np.sqrt(1 - r**2) * own
    return first + np.array([before, 0]), second + np.array([after, 0])


def stages(known: Mapping[str, Scenario], simulations: int) -> dict[str, Callable[[], list[Row]]]:
    few = max(5, simulations // 20)
    return {
        **{f"errors, {n} triples": lambda n=n: errors(known, n, simulations) for n in (24, 96, 240)},
        **{f"methods, {n} triples": lambda n=n: methods(known["no effect"], n, 6 * few) for n in (24, 96)},
        **{f"power, {n} triples": lambda n=n: power(n, 4 * few) for n in (24, 96, 240)},
        "AUROCs near 1": lambda: [row for n in (12, 24, 40) for row in near_one(n, 6 * few)],
        "promised power": lambda: promised(24, 4 * few) + promised(96, 4 * few),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--simulations", type=int, default=2000, help="where false positives are counted; elsewhere a part of them"
    )
    parser.add_argument("--only", default="", help="stages whose name begins so; rows of other kinds stay in the file")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    command = f"python benchmarks/simulated.py --simulations {options.simulations}"
    command += f' --only "{options.only}"' if options.only else ""
    target = options.out / "results" / "simulated.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    start, rows = time.perf_counter(), json.loads(target.read_text()) if options.only else []
    for name, stage in stages(scenarios(), options.simulations).items():
        if not name.startswith(options.only):
            continue
        made = [{"command": command, **row} for row in stage()]
        rows = [row for row in rows if row["kind"] not in {own["kind"] for own in made} or not options.only] + made
        target.write_text(json.dumps(rows, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
