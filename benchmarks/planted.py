"""Planted models: what each method finds of what is known to be there, and whether the answer is that of the truth.

Methods: for each variant the mean A of the planted components that write harm, the largest A of all others but the shared
ones, and ROC AUC of A against the truth; recall@k, the share of the truth among as many components of largest A (shared ones
left out); recall of `select` without protection, and with kind text protected. Answers: `dissociate` over seeds, for what is
planted. Parts: the rise of L without what is planted. Sizes: the rise without the heads, neurons or weights of largest A, kind
text protected, up to so many. Kinds: the rise on each kind of harm without what writes one of them, as planted and as
selected on it.

    python benchmarks/planted.py methods --seeds 3
    python benchmarks/planted.py answers --seeds 20 --out docs/results/planted_answers.json
    python benchmarks/planted.py parts | sizes | kinds
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import harmcircuits as hc
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms import VARIANTS, Planted, planted
from harmcircuits.organisms.language import HARMS
from harmcircuits.statistics import auroc

Method = Callable[[Any, Any], Any]


def exact(model: Any, examples: Any) -> Any:
    shape = geometry(model)
    every = lambda size: [(layer, index) for layer in range(shape.n_layers) for index in range(size)]
    return hc.attribute(model, examples, heads=every(shape.n_heads), neurons=every(shape.d_mlp), method="exact")


METHODS: dict[str, Method] = {
    "first order": hc.attribute,
    "integrated": partial(hc.attribute, method="integrated"),
    "exact": exact,
}


SMALL = hc.Settings(
    components=("heads",), head_fractions=(0.05, 0.1), facts=0, passages=0, sampled=False, shots=0, random_draws=2,
    train_prompts=24, development_prompts=12, test_prompts=32, written_prompts=4, max_new_tokens=8, written_tokens=6,
)  # fmt: skip
CASES = {
    "plain": ("plain", "dissociated"),
    "both": ("both", "dissociated"),
    "shared": ("shared", "shared"),
    "entangled": ("entangled", "not selective"),
    "none": ("none", "undecided"),
}


def answer(variant: str, seed: int) -> str:
    """The answer on one planted model, against matched benign requests."""
    organism = hc.organisms.planted(seed, variant)
    train, development, test = organism.prompts.split(seed=seed)
    circuit = organism.shared if variant == "entangled" else None
    result = hc.dissociate(organism.model, circuit, test, train=train, development=development, settings=SMALL)
    rows = [row["answer"] for row in result.report["answers"] if row["contrast"] == "matched"]
    return rows[0] if rows else result.answer


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


def recovery(method: Method, organism: Planted) -> list[str]:
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
        name = f"{organism.variant}, seed {organism.seed}"
        for label, method in METHODS.items():
            print(f"| {name} | {label} | {' | '.join(recovery(method, organism))} |", flush=True)


def answers(seeds: int, out: Path | None) -> None:
    """How often the main job gives the planted answer."""
    counts_of = {case: Counter(answer(variant, seed) for seed in range(seeds)) for case, (variant, _) in CASES.items()}
    for case, counts in counts_of.items():
        print(f"| {case} | {CASES[case][1]} | {', '.join(f'{word} {n}' for word, n in counts.most_common())} |", flush=True)
    report = {"command": f"python benchmarks/planted.py answers --seeds {seeds}", "seeds": seeds}
    if out is not None:
        out.write_text(json.dumps(report | {case: dict(counts) for case, counts in counts_of.items()}, indent=2) + "\n")


def rise(organism: Planted, off: Any, examples: Sequence[hc.Example]) -> float:
    """Mean rise of L, nats per token; positive: what is switched off promotes the text."""
    intact = hc.loss(organism.model, examples).mean()
    with hc.ablated(organism.model, off):
        return float(hc.loss(organism.model, examples).mean() - intact)


def parts(organisms: Sequence[Planted]) -> None:
    print(f"| planted | off | harmful | near | far | label |\n{'| --- ' * 6}|")
    for organism in organisms:
        for name in ("writing", "shared", "recognising"):
            if len(off := getattr(organism, name)):
                read = (organism.harmful, organism.near, organism.far, organism.recognition)
                cells = " | ".join(f"{rise(organism, off, examples):+.2f}" for examples in read)
                print(f"| {organism.variant} | {name}: {len(off.heads)}, {len(off.neurons)} | {cells} |", flush=True)


def sizes(organisms: Sequence[Planted]) -> None:
    print(f"| planted | off | share | harmful | near |\n{'| --- ' * 5}|")
    for organism in organisms:
        A, B = (
            hc.attribute(organism.model, organism.harmful, method="integrated"),
            hc.attribute(organism.model, organism.benign),
        )
        W = hc.attribute_weights(organism.model, organism.harmful, benign=organism.benign)
        options: dict[str, Any] = {"protect": B, "protect_fraction": protection(organism)}
        grid: list[tuple[str, float, Any]] = []
        for kind, fractions in (("heads", (0.04, 0.08, 0.17, 0.25, 0.34)), ("neurons", (0.005, 0.01, 0.02, 0.04, 0.08, 0.12))):
            for fraction in fractions:
                count = round(fraction * getattr(A, kind).numel())
                grid += [(f"{count} {kind}", fraction, {"heads": 0, "neurons": 0} | {kind: count})]
        for name, fraction, counts in grid:
            try:
                off = hc.select(A, **counts, **options)
            except ValueError:
                print(f"| {organism.variant} | {name} | {fraction:.1%} | too few left | |")
                continue
            size_row(organism, name, fraction, off)
        for q in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2):
            mask = hc.select(W, q=q, p=20 * q)
            size_row(organism, f"{len(mask)} weights", q, mask)


def size_row(organism: Planted, name: str, fraction: float, off: Any) -> None:
    cells = " | ".join(f"{rise(organism, off, examples):+.2f}" for examples in (organism.harmful, organism.near))
    print(f"| {organism.variant} | {name} | {fraction:.2%} | {cells} |", flush=True)


def kinds(organisms: Sequence[Planted]) -> None:
    names = list(HARMS)
    print(f"| planted | off | of | {' | '.join(names)} |\n{'| --- ' * 7}|")
    for organism in organisms:
        of = {name: [example for example in organism.harmful if example.category == name] for name in names}
        for name in names:
            A = hc.attribute(organism.model, of[name], method="integrated")
            counts = {"heads": 2, "neurons": 8}
            circuit = hc.select(
                A, **counts, protect=hc.attribute(organism.model, organism.benign), protect_fraction=protection(organism)
            )
            off = {"selected": circuit} | ({"planted": organism.writing_of[name]} if organism.writing_of else {})
            for how, circuit in off.items():
                cells = " | ".join(f"{rise(organism, circuit, examples):+.2f}" for examples in of.values())
                print(f"| {organism.variant} | {how} | {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("methods", "answers", "parts", "sizes", "kinds"), default="methods")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="of answers: a JSON file")
    options = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    if options.what == "methods":
        every = [planted(seed, variant) for variant in VARIANTS for seed in range(options.seeds)]
        methods([organism for organism in every if organism.writing])
    elif options.what == "answers":
        answers(options.seeds, options.out)
    elif options.what == "parts":
        parts([planted(seed, variant) for variant in VARIANTS for seed in range(options.seeds)])
    elif options.what == "sizes":
        sizes([planted(0, variant) for variant in ("plain", "diffuse")])
    else:
        kinds([planted(0, "plain", categories="harms"), planted(0, "separate")])


if __name__ == "__main__":
    main()
