"""Simulated outcomes with a known truth, through everything that a run goes through after the model.

Outcomes of triples go to `experiments.evidence.gather` and `experiments.verdict.judge`. Counted: false positives of every test,
coverage of every interval, the words by scenario, power. Writes results/simulated.json and images/power.png.

    python benchmarks/simulated.py
    python benchmarks/simulated.py --simulations 200 --out elsewhere
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
from scipy.stats import binomtest, norm
from simulated_outcomes import SETTINGS, Run, Scenario, World, aurocs, scenarios, simulate

from harmcircuits import figures
from harmcircuits import statistics as hs
from harmcircuits.experiments.nulls import KINDS

DRAWS = {"draws": SETTINGS.bootstrap_draws}
EFFECTS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0)

Row = dict[str, Any]


def share(name: str, hits: Sequence[bool], **about: Any) -> Row:
    """A share with its exact binomial interval at 95 %."""
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    return {"name": name, **about, "n": len(hits), "value": float(np.mean(hits)), "low": interval.low, "high": interval.high}


def together(found: Sequence[Mapping[str, bool]], **about: Any) -> list[Row]:
    """One share a name."""
    return [share(name, [one[name] for one in found], **about) for name in found[0]]


def runs(truth: Scenario, n: int, simulations: int, look: Callable[[Run], Any], *, bare: bool = False) -> list[Any]:
    return [look(simulate(truth, n, seed, bare=bare)) for seed in range(simulations)]


def holds(estimate: hs.Estimate, truth: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def above(estimate: hs.Estimate) -> bool:
    return estimate.low is not None and estimate.low > 0


def small(p: hs.Estimate) -> bool:
    return p.value is not None and p.value <= 0.05


def covered(run: Run) -> Iterator[tuple[str, bool]]:
    """Whether each interval of a run, and of what stands beside it in a report, holds the truth."""
    truth, found, world = run.world.truth, run.evidence, run.world
    options: dict[str, Any] = {**DRAWS, "seed": world.n, "strata": world.category}
    auroc, change = aurocs(truth)
    before, after = ((one["nll_other"] - one["nll"])[:, 0] for one in (run.intact, run.changed))
    yield "mean (request information, skewed)", holds(found.information, truth.information)
    yield "selectivity", holds(found.selectivity, truth.selectivity + truth.of_all)
    yield "AUROC", holds(found.intact_auroc, auroc)
    scores = (run.intact["in_place"][:, :2], run.changed["in_place"][:, :2])
    yield "change of AUROC", holds(hs.auroc_change(*scores, **options), change)
    yield "ratio (retained information)", holds(hs.ratio_of_means(after, before, **options), 0.9)


def rejected(run: Run) -> Iterator[tuple[str, bool]]:
    """Whether each test of writing rejects."""
    rise, seed = (run.changed["nll"] - run.intact["nll"])[:, :2], run.world.n
    yield "interval of the selectivity excludes 0", run.evidence.selectivity.excludes(0)
    for kind, p in run.evidence.null_p.items():
        yield f"p against the {kind} null", small(p)
    yield "p by sign flips", small(hs.sign_flip_p(rise @ [1, -1], draws=999, seed=seed))


def errors(known: Mapping[str, Scenario], n: int, simulations: int) -> list[Row]:
    """False positives of every test, coverage (on half of the runs), and the word where nothing is there."""
    look = lambda run: (dict(rejected(run)), run.verdict.word == "dissociated")
    found = runs(known["no effect"], n, simulations, look)
    about = {"scenario": "no effect", "triples": n}
    rows = together([one[0] for one in found], kind="false positives", **about)
    rows.append(share("the word dissociated", [one[1] for one in found], kind="false positives", **about))
    held = runs(known["no effect"], n, simulations // 2, lambda run: dict(covered(run)), bare=True)
    rows += together(held, kind="coverage", **about)
    for scenario, test, part in (
        ("no effect, aimed circuit idle", "p of the interaction", lambda run: small(run.evidence.interaction_p)),
        ("fall of the margin", "equivalence", lambda run: run.evidence.recognition.equivalent),
        ("fall of the margin near the ceiling", "equivalence", lambda run: run.evidence.recognition.equivalent),
    ):
        hits = runs(known[scenario], n, simulations, part, bare=True)
        rows.append(share(test, hits, kind="false positives", scenario=scenario, triples=n))
    return rows


def words(known: Mapping[str, Scenario], n: int, simulations: int) -> list[Row]:
    """How often each scenario gets each word, and a word that is right."""
    rows = []
    for name, truth in known.items():
        found = runs(truth, n, simulations, lambda run: run.verdict.word)
        about = {"scenario": name, "triples": n}
        rows += [share(word, [one == word for one in found], kind="words", **about) for word in sorted(Counter(found))]
        rows.append(share("a right word", [one in truth.right for one in found], kind="words", **about))
    return rows


def without_nulls(known: Mapping[str, Scenario], n: int, simulations: int) -> list[Row]:
    """What the interval of the selectivity alone would claim where every circuit does as much."""
    rows = []
    for name in ("no effect, circuits differ", "harmful text is fragile"):
        found = runs(known[name], n, simulations, lambda run: dict(rejected(run)))
        rows += together(found, kind="where all circuits are alike", scenario=name, triples=n)
    return rows


def methods(truth: Scenario, n: int, simulations: int) -> list[Row]:
    """Coverage by method of interval, with and without strata."""
    found: dict[tuple[str, ...], list[bool]] = {}
    auroc = aurocs(truth)[0]
    for seed in range(simulations):
        run = simulate(truth, n, seed, bare=True)
        rise, scores = run.changed["nll"] - run.intact["nll"], run.intact["in_place"]
        parts = {
            "selectivity": (lambda x: x.mean(-1), (rise[:, 0] - rise[:, 1],), truth.selectivity),
            "mean (skewed)": (lambda x: x.mean(-1), (run.world.information[:, 0],), truth.information),
            "AUROC": (hs.auroc, (scores[:, 0], scores[:, 1]), auroc),
        }
        options: dict[str, Any] = {**DRAWS, "seed": seed}
        for (part, (statistic, arrays, true)), method, strata in product(
            parts.items(), ("percentile", "expanded"), (None, run.world.category)
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
    spread = float((World(Scenario(()), 100_000, np.random.default_rng(5)).rises(0.0)[0][:, :2] @ [1, -1]).std())
    rows = []
    for effect in EFFECTS:
        found = [selective(Scenario((), selectivity=effect * spread), n, seed) for seed in range(simulations)]
        for at, test in enumerate(("interval", f"and nulls on {SETTINGS.null_triples}", "and nulls on all")):
            rows.append(share(test, [one[at] for one in found], kind="power", effect=effect, triples=n))
    return rows


def selective(truth: Scenario, n: int, seed: int) -> list[bool]:
    """Whether the selectivity's interval lies above 0; and is beyond both nulls, too, on a part of the triples; on all."""
    world = World(truth, n, np.random.default_rng([seed, n]))
    rise = world.rises(truth.selectivity)[0][:, :2] @ [1, -1]
    shown = above(hs.mean_estimate(rise, seed=seed, strata=world.category, **DRAWS))
    draws = [world.rises(0.0, SETTINGS.null_draws)[..., :2] @ [1, -1] for _ in KINDS]
    beyond = lambda at: all(small(hs.p_value(float(rise[:at].mean()), one[:, :at].mean(-1))) for one in draws)
    return [shown, shown and beyond(min(n, SETTINGS.null_triples)), shown and beyond(n)]


def promised(n: int, simulations: int) -> list[Row]:
    """Power at the effects that `sensitivity` says a run can show: 0.8 is what it promises."""
    rng = np.random.default_rng(3)
    means = hs.detectable(1.0, n) + rng.normal(size=(simulations, n))
    shown = [hs.mean_estimate(one, seed=seed, **DRAWS).excludes(0) for seed, one in enumerate(means)]
    rows = [share("detectable", shown, kind="promised power", triples=n)]
    for held in (0.95, 0.5):
        about = {"kind": "promised power", "correlation": held}
        change = hs.detectable_auroc(n, correlation=held)
        enough = hs.n_for_equivalence(change * np.sqrt(n) / 2.8, SETTINGS.margin)
        gaps = np.sqrt(2) * norm.ppf([0.7 + change / 2, 0.7 - change / 2])
        moved = (scored(rng, n, *gaps, held) for _ in range(simulations))
        shown = [hs.auroc_change(*one, seed=seed, **DRAWS).excludes(0) for seed, one in enumerate(moved)]
        rows.append(share("detectable_auroc", shown, triples=n, **about))
        gap = np.sqrt(2) * norm.ppf(0.7)
        same = (scored(rng, enough, gap, gap, held) for _ in range(simulations))
        changes = (hs.auroc_change(*one, level=0.9, seed=seed, **DRAWS) for seed, one in enumerate(same))
        found = [hs.equivalent_within(one, margin=SETTINGS.margin).equivalent for one in changes]
        rows.append(share("n_for_equivalence", found, triples=enough, **about))
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
        **{f"words, {n} triples": lambda n=n: words(known, n, few) for n in (24, 96, 240)},
        "without nulls": lambda: without_nulls(known, 96, 4 * few),
        **{f"methods, {n} triples": lambda n=n: methods(known["no effect"], n, 6 * few) for n in (24, 96)},
        **{f"power, {n} triples": lambda n=n: power(n, 4 * few) for n in (24, 96, 240)},
        "promised power": lambda: promised(24, 4 * few) + promised(96, 4 * few),
    }


def draw(rows: Sequence[Row], folder: Path) -> None:
    """The share of runs in which an effect is shown, against its size: a line a test and number of triples."""
    curve = pd.DataFrame([row for row in rows if row["kind"] == "power"])
    curve = curve.assign(above=curve["high"] - curve["value"], below=curve["value"] - curve["low"])
    drawn = px.line(
        curve, x="effect", y="value", error_y="above", error_y_minus="below", color="triples", line_dash="name", markers=True
    )
    try:
        figures.save(drawn, folder / "power.png")
    except figures.FigureError:  # without kaleido
        figures.save(drawn, folder / "power.html")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--simulations", type=int, default=2000, help="where false positives are counted; elsewhere a part of them"
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    command = f"python benchmarks/simulated.py --simulations {options.simulations}"
    target = options.out / "results" / "simulated.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    start, rows = time.perf_counter(), []
    for name, stage in stages(scenarios(), options.simulations).items():
        rows += stage()
        target.write_text(json.dumps([{"command": command, **row} for row in rows], indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(pd.DataFrame(rows).to_string())
    draw(rows, options.out / "images")


if __name__ == "__main__":
    main()
