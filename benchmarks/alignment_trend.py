"""How often the rule of "alignment compresses" says what it should not, on simulated areas of which the truth is known.

Each triple has an area at each stage: its own level, which it keeps, and noise with heavy tails; own and fixed responses agree
in part, and so do grains. Areas go through everything that a run goes through after the models: changes, intervals, signs,
adjusted p values, the rule. Nothing is loaded.

    python benchmarks/alignment_trend.py --simulations 400 --out docs/results/alignment_trend.json
"""

import argparse
import shlex
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tqdm.auto import tqdm

from harmcircuits import store
from harmcircuits.claims.alignment.compared import Compared, Question
from harmcircuits.claims.alignment.decision import NOTHING, decide
from harmcircuits.claims.alignment.trends import adjusted, changes, trend
from harmcircuits.claims.alignment.writing import READINGS
from harmcircuits.claims.claim import FOUND
from harmcircuits.claims.compactness.grid import GRAINS
from harmcircuits.experiments.checks import MATCHED
from harmcircuits.statistics import Estimate

STYLE = "style only"
SPREAD = 0.12
"""Of a triple's area, nats per token: about what the default model's have."""
COMMON = 0.7
"""Share of the noise's variance that own and fixed responses, and all grains, have in common."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Changes from the first stage to the last, nats per token.

    Attributes:
        own, fixed: of the area on these responses.
        matched: of matched random circuits' area.
        control: along the control ladder; None: there is none.
        training: spread of what each stage adds to all triples alike: no trend, but another training would have other stages.
    """

    words: str
    own: float = 0.0
    fixed: float = 0.0
    matched: float = 0.0
    control: float | None = 0.0
    training: float = 0.0


TRUTHS = (
    Truth(words="nothing changes"),
    Truth(words="nothing changes, no control ladder", control=None),
    Truth(words="only what is written changes", own=0.1),
    Truth(words="matched random circuits change as much", own=0.1, fixed=0.1, matched=0.1),
    Truth(words="style alone changes as much", own=0.1, fixed=0.1, control=0.1),
    Truth(words="every training differs, no control ladder", control=None, training=0.05),
    Truth(words="it compresses, by 0.05", own=0.05, fixed=0.05),
    Truth(words="it compresses, by 0.1", own=0.1, fixed=0.1),
    Truth(words="it compresses, by 0.2", own=0.2, fixed=0.2),
)


def answer(truth: Truth, *, triples: int, stages: int, draws: int, seed: int) -> str:
    """What the rule says of one simulated ladder."""
    random = np.random.default_rng([seed, triples, stages])
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    shared = noise(random, 2, stages, triples)
    training = random.normal(0, truth.training, (stages, 1))
    found = {}
    for reading in READINGS:
        for grain in GRAINS:
            level = random.normal(0, SPREAD, triples)
            own, other = (level + COMMON**0.5 * part + (1 - COMMON) ** 0.5 * noise(random, stages, triples) for part in shared)
            ladder = own + training + along(getattr(truth, reading), stages)
            parts = {NOTHING: changes(ladder)}
            parts[MATCHED] = changes(ladder - noise(random, stages, triples) - along(truth.matched, stages))
            if truth.control is not None:
                style = np.concatenate([ladder[:1], (other + along(truth.control, stages))[1:]])
                parts[STYLE] = changes(ladder) - changes(style)
            found |= {Question(grain, reading, beyond): trend(part, options) for beyond, part in parts.items()}
    trends = dict(zip(found, adjusted(list(found.values())), strict=True))
    fractions = {(grain, reading): Estimate.missing("not simulated") for grain in GRAINS for reading in READINGS}
    return decide("", Compared(trends, fractions).evidence(GRAINS))[0]


def noise(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Student's t of four degrees of freedom, with the spread of areas."""
    return np.asarray(random.standard_t(4, shape) * SPREAD / 2**0.5)


def along(change: float, stages: int) -> np.ndarray:
    return np.linspace(0, change, stages)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--triples", type=int, nargs="+", default=[40, 80])
    parser.add_argument("--stages", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--draws", type=int, default=400, help="of each interval")
    parser.add_argument("--out", type=Path, default=Path("alignment_trend.json"))
    given = parser.parse_args()
    rows = []
    for truth in tqdm(TRUTHS, desc="truths"):
        for triples in given.triples:
            for stages in given.stages:
                how = {"triples": triples, "stages": stages}
                said = Counter(answer(truth, **how, draws=given.draws, seed=seed) for seed in range(given.simulations))
                interval = binomtest(said["yes"], given.simulations).proportion_ci(method="exact")
                shares = {name: said[name] / given.simulations for name in FOUND}
                rows.append(asdict(truth) | how | shares | {"yes_low": interval.low, "yes_high": interval.high})
                print(f"{truth.words}, {triples} triples, {stages} stages: {dict(said)}")
    command = shlex.join(["python", *sys.argv])
    store.write_json(given.out, {"command": command, "simulations": given.simulations, "spread": SPREAD, "rows": rows})


if __name__ == "__main__":
    main()
