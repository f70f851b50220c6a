"""Planted models: what each method finds of what is known to be there, and whether the verdict is that of the truth.

Methods: for each variant the mean A of the planted components that write harm, the largest A of all others but the shared
ones, and ROC AUC of A against the truth; recall@k, the share of the truth among as many components of largest A (shared ones
left out); recall of `select` without protection, and with kind text protected. Verdicts: `dissociate` over seeds.

    python benchmarks/planted.py methods --seeds 3
    python benchmarks/planted.py verdicts --seeds 20 --variants plain shared none
    python benchmarks/planted.py trained --seeds 3
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import harmcircuits as hc
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms import VARIANTS, Planted, planted
from harmcircuits.statistics import auroc

Method = Callable[[Any, Any], Any]


def exact(model: Any, examples: Any) -> Any:
    shape = geometry(model)
    every = lambda size: [(layer, index) for layer in range(shape.n_layers) for index in range(size)]
    return hc.exact_attribution(model, examples, heads=every(shape.n_heads), neurons=every(shape.d_mlp))


METHODS: dict[str, Method] = {"first order": hc.attribute, "integrated": hc.integrated_attribution, "exact": exact}


def settings(seed: int) -> Any:
    """The main job on three layers of 8 heads and 64 neurons: circuits as large as what is planted in "plain"."""
    return hc.Settings(
        seed=seed, attribution_triples=48, development_triples=16, test_triples=32, probe_triples=32, aim_triples=32,
        written_triples=8, null_triples=16, null_draws=39, bootstrap_draws=400, max_new_tokens=6, shots=8, shot_draws=1,
        head_fraction=2 / 24, neuron_fraction=8 / 192, protect_heads=3 / 24, protect_neurons=0.1,
    )  # fmt: skip


@dataclass(frozen=True)
class Separation:
    """Mean of the true ones, largest of the others, ROC AUC, and how many of the true ones are among as many of largest A."""

    mean: float
    other: float
    area: float
    hits: int


def separation(
    scores: Float[Tensor, "layer index"], true: Sequence[tuple[int, int]], left_out: Sequence[tuple[int, int]]
) -> Separation:
    places = [(layer, index) for layer in range(scores.shape[0]) for index in range(scores.shape[1])]
    yes = [scores[at].item() for at in places if at in true]
    no = [scores[at].item() for at in places if at not in true and at not in left_out]
    bar = sorted(no + yes, reverse=True)[len(yes) - 1]
    return Separation(sum(yes) / len(yes), max(no), float(auroc(yes, no)), sum(score >= bar > 0 for score in yes))


def protection(organism: Planted) -> dict[str, float]:
    """The shared heads and those that kind text alone needs: 3 of each planted model's; a tenth of the neurons."""
    return {"heads": 3 / geometry(organism.model).n_heads / geometry(organism.model).n_layers, "neurons": 0.1}


def found_by(method: Method, organism: Planted) -> list[str]:
    A, B = method(organism.model, organism.harmful), hc.attribute(organism.model, organism.benign)
    by_kind = [
        separation(getattr(A, kind), getattr(organism.writing, kind), getattr(organism.shared, kind))
        for kind in ("heads", "neurons")
    ]
    protected = {"protect": B, "protect_fraction": protection(organism)}
    unprotected, selected = (selected_of(A, organism, **options) for options in ({}, protected))
    cells = [f"{each.mean:+.3f} / {each.other:+.3f} / {each.area:.3f}" for each in by_kind]
    recall = f"{sum(each.hits for each in by_kind) / len(organism.writing):.2f}"
    held_back = ", ".join(f"{A.neurons[at].item():+.3f}" for at in organism.suppressing.neurons)
    return [*cells, recall, unprotected, selected, held_back]


def selected_of(A: Any, organism: Planted, **options: Any) -> str:
    """The share of the writing circuit in as many components as it has, as `select` chooses them."""
    sizes = {"heads": len(organism.writing.heads), "neurons": len(organism.writing.neurons)}
    try:
        return f"{len(hc.select(A, **sizes, **options) & organism.writing) / len(organism.writing):.2f}"
    except ValueError:
        return "too few left"


def methods(organisms: Sequence[Planted]) -> None:
    cells = ["planted", "method", "heads: mean of planted / largest other / AUC", "neurons: likewise"]
    cells += ["recall@k", "unprotected", "selected", "suppressor"]
    print(f"| {' | '.join(cells)} |\n{'| --- ' * 8}|")
    for organism in organisms:
        name = f"{organism.variant}{' (trained)' if organism.trained else ''}, seed {organism.seed}"
        for label, method in METHODS.items():
            print(f"| {name} | {label} | {' | '.join(found_by(method, organism))} |", flush=True)


def verdicts(variants: Sequence[str], seeds: Sequence[int]) -> None:
    for variant in variants:
        words: Counter[str] = Counter()
        for seed in seeds:
            organism = planted(seed, variant)  # type: ignore[arg-type]
            train, development, test = organism.prompts.split(seed=seed)
            own = settings(seed)
            words[hc.dissociate(organism.model, None, test, train=train, development=development, settings=own).verdict] += 1
        print(f"| {variant} | {len(seeds)} | {', '.join(f'{word} {n}' for word, n in words.most_common())} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("methods", "verdicts", "trained"), default="methods")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=["plain", "shared", "none"], choices=VARIANTS)
    options = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    if options.what == "methods":
        methods([planted(seed, variant) for variant in VARIANTS if variant != "none" for seed in range(options.seeds)])
    elif options.what == "verdicts":
        verdicts(options.variants, range(options.seeds))
    else:
        start = time.perf_counter()
        trained = [planted(seed, trained=True) for seed in range(options.seeds)]
        print(f"{options.seeds} models, {(time.perf_counter() - start) / options.seeds:.0f} s each (0 where they were cached)")
        methods(trained)


if __name__ == "__main__":
    main()
