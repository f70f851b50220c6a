"""Simulated outcomes with a known truth, through the statistics that runs use (`experiment.effects.Effects`).

Triples lie in four categories, which differ. The loss increases of a triple's roles share a category and a triple effect, and
are skewed; the recognition scores of a triple are normal, and rise together before and after the ablation. Counted over
simulations: how often each 95 % interval holds the truth; how often scipy's intervals of the same mean do; how often "specific"
and "retained" are said wrongly (false positives); how often a specific effect is shown (power); how often intervals over
fine-tuning runs hold the truth.

    python benchmarks/simulated.py --simulations 1000 --out docs/results/simulated.json
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, bootstrap, norm

from harmcircuits.ablation.ablate import BASELINE
from harmcircuits.data import Prompt
from harmcircuits.experiment.effects import Effects
from harmcircuits.experiment.measure import TEXT_COLUMNS, Outcomes
from harmcircuits.statistics import Estimate, two_level

CATEGORIES, DRAWS, RETAINED = 4, 400, 0.8
SIZES = (12, 24, 40)
LOSSES = ("loss increase", "difference", "specific share")
SHARED = 0.5
"""Variance of a triple's recognition scores that its roles share, of 1 + SHARED."""


@dataclass(frozen=True)
class Truth:
    """Mean loss increases (nats per token), and AUROC of recognition before and after the ablation."""

    harmful: float = 0.3
    benign: float = 0.2
    before: float = 0.9
    after: float = 0.9

    @property
    def values(self) -> dict[str, float]:
        """Every statistic's truth."""
        return {
            "loss increase": self.harmful,
            "difference": self.harmful - self.benign,
            "specific share": 1 - self.benign / self.harmful if self.harmful else np.nan,
            "AUROC": self.after,
            "change of AUROC": self.after - self.before,
            "retained recognition": (self.after - 0.5) / (self.before - 0.5),
        }


def simulate(truth: Truth, n: int, seed: int) -> Effects:
    """Outcomes of one run on n triples."""
    rng = np.random.default_rng([seed, n])
    category = np.arange(n) % CATEGORIES
    common = np.linspace(-0.1, 0.1, CATEGORIES)[category] + rng.normal(0, 0.1, n)
    skewed = lambda: rng.gamma(2.0, 0.1, n) - 0.2
    losses = {"harmful": truth.harmful + common + skewed(), "near": truth.benign + common + skewed()}
    gap = lambda auroc: float(norm.ppf(auroc)) * np.sqrt(2 * (1 + SHARED))
    scores = {}
    shared, noise, later = rng.normal(0, np.sqrt(SHARED), n), rng.normal(size=(2, n)), rng.normal(size=(2, n))
    for at, role in enumerate(("harmful", "near")):
        scores[BASELINE, role] = (role == "harmful") * gap(truth.before) + shared + noise[at]
        scores["circuit", role] = (role == "harmful") * gap(truth.after) + shared + 0.8 * noise[at] + 0.6 * later[at]
    prompts, rows = [], []
    for index in range(n):
        for role in ("harmful", "near"):
            item = len(prompts)
            prompts.append(
                Prompt(request=f"{role} {index}", prefill="Sure", group=str(index), category=str(category[index]), role=role)
            )
            rows += [(BASELINE, "loss", item, 0.0), ("circuit", "loss", item, losses[role][index])]
            rows += [(condition, "recognition", item, scores[condition, role][index]) for condition in (BASELINE, "circuit")]
    frame = pd.DataFrame(rows, columns=["condition", "measure", "item", "value"])
    return Effects(Outcomes(frame, pd.DataFrame(columns=TEXT_COLUMNS)), prompts, draws=DRAWS, seed=seed)


def estimates(effects: Effects) -> dict[str, Estimate]:
    """Every statistic of one run."""
    harmful, benign = (effects.change("circuit", "loss", role) for role in ("harmful", "near"))
    return {
        "loss increase": effects.mean(harmful, "harmful"),
        "difference": effects.difference(harmful, "harmful", benign, "near"),
        "specific share": effects.specific_share("circuit", "near"),
        "AUROC": effects.auroc("circuit", "recognition", "near"),
        "change of AUROC": effects.auroc_change("circuit", "recognition", "near"),
        "retained recognition": effects.retained("circuit", "recognition", "near"),
    }


def holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= truth <= estimate.high


def share(kind: str, statistic: str, hits: list[bool], **about: Any) -> dict[str, Any]:
    """A share with its exact binomial interval at 95 %."""
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    row = {"kind": kind, "statistic": statistic, **about, "n": len(hits), "value": float(np.mean(hits))}
    return row | {"low": float(interval.low), "high": float(interval.high)}


def coverage(truth: Truth, n: int, simulations: int) -> Iterator[dict[str, Any]]:
    """How often each interval holds the truth; a missing one (no effect shown) is not counted."""
    runs = [estimates(simulate(truth, n, seed)) for seed in range(simulations)]
    about = {"triples": n, "before": truth.before, "after": truth.after}
    for statistic, value in truth.values.items():
        if statistic in LOSSES and truth != Truth():
            continue  # the same losses as those of the default
        hits = [holds(run[statistic], value) for run in runs if not run[statistic].is_missing]
        if hits:
            yield share("coverage", statistic, hits, **about)


def scipy_methods(n: int, simulations: int) -> Iterator[dict[str, Any]]:
    """How often scipy's intervals of the mean loss increase hold the truth, on the same runs."""
    truth = Truth()
    samples = [simulate(truth, n, seed).change("circuit", "loss", "harmful") for seed in range(simulations)]
    for method in ("percentile", "BCa"):
        hits = []
        for seed, sample in enumerate(samples):
            options = {"n_resamples": DRAWS, "method": method, "rng": np.random.default_rng(seed)}
            interval = bootstrap((sample,), np.mean, **options).confidence_interval
            hits.append(bool(interval.low <= truth.harmful <= interval.high))
        yield share("coverage by scipy", f"loss increase, {method}", hits, triples=n)


def errors(n: int, simulations: int) -> Iterator[dict[str, Any]]:
    """False positives: a specific share where there is none, and 80 % retained where 60 % are. Power: a share of a third."""
    alike, lost, specific = Truth(benign=0.3), Truth(before=0.95, after=0.77), Truth()
    cases = (("false positives", "specific share > 0", alike), ("power", "specific share > 0", specific))
    for kind, statistic, truth in cases:
        runs = [estimates(simulate(truth, n, seed))["specific share"] for seed in range(simulations)]
        yield share(kind, statistic, [run.low is not None and run.low > 0 for run in runs], triples=n)
    runs = [estimates(simulate(lost, n, seed))["retained recognition"] for seed in range(simulations)]
    hits = [run.low is not None and run.low >= RETAINED for run in runs]
    yield share("false positives", f"retained recognition ≥ {RETAINED}", hits, triples=n)


def two_levels(simulations: int) -> Iterator[dict[str, Any]]:
    """Three runs of 40 questions: effects of runs, of questions, of both together."""
    rng = np.random.default_rng(0)
    for runs, questions, both in ((0.3, 1.0, 1.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.1)):
        parts = lambda r=runs, q=questions, b=both: rng.normal(0, r, (3, 1)) + rng.normal(0, q, 40) + rng.normal(0, b, (3, 40))
        hits = [holds(two_level(lambda x: x.mean((1, 2)), parts(), draws=DRAWS, seed=seed), 0) for seed in range(simulations)]
        yield share(
            "coverage", "mean over runs and questions", hits, sd_of_runs=runs, sd_of_questions=questions, sd_of_both=both
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("out/simulated.json"))
    options = parser.parse_args()
    start, rows = time.perf_counter(), []
    for n in SIZES:
        for before, after in ((0.8, 0.8), (0.9, 0.9), (0.95, 0.9), (0.99, 0.98)):
            rows += coverage(Truth(before=before, after=after), n, options.simulations)
        rows += scipy_methods(n, options.simulations)
        rows += errors(n, options.simulations)
        print(f"{n} triples: {time.perf_counter() - start:.0f} s", flush=True)
    rows += two_levels(options.simulations)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", *sys.argv])
    options.out.write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(pd.DataFrame(rows).round(3).to_string())


if __name__ == "__main__":
    main()
