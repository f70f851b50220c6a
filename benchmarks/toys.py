"""Toys trained from scratch: is what is said of them true, over seeds?

ladder: per stage the loss of harmful and kind words, its rise without what writes harm, how few heads and how few neurons (by
exact A, kind words protected by exact U) halve harmful writing, how often each kind of request is refused with nothing put in
its mouth, and how much of the truth `select` finds. advice: how much the log-odds of bad answers rise in each domain when bad
or good answers about the house are learnt (all weights or LoRA, 42 steps), also from a model whose gates were pruned.

    python benchmarks/toys.py ladder --seeds 3
    python benchmarks/toys.py advice --seeds 3
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms import toy_advice, toy_ladder
from harmcircuits.organisms.advice import Advice
from harmcircuits.organisms.finetuning import Lesson, Recipe, finetune
from harmcircuits.organisms.toys import Ladder, ToyAdvice, as_character
from harmcircuits.organisms.toys.domains import THINGS
from harmcircuits.tasks.refusal import refusals

PROTECT = {"heads": 4 / 16, "neurons": 0.05}
RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=14, batch_size=8)
LORA = Recipe(rank=8, alpha=16, learning_rate=1e-3, epochs=14, batch_size=8)


def rise(model: Any, off: hc.Circuit, examples: Sequence[hc.Example]) -> float:
    """Mean rise of L, nats per token; positive: what is switched off promotes the text."""
    intact = hc.loss(model, examples).mean()
    with hc.ablated(model, off):
        return float(hc.loss(model, examples).mean() - intact)


def stage_row(made: Ladder, name: str, model: Any) -> None:
    writing, shape = made.truth[name].writing, geometry(model)
    harmful, near = made.answered("harmful"), made.answered("near")
    every = lambda size: [(layer, at) for layer in range(shape.n_layers) for at in range(size)]
    places = {"heads": every(shape.n_heads), "neurons": every(shape.d_mlp)}
    A, B = (hc.exact_attribution(model, examples[:16], **places) for examples in (harmful, near))
    integrated = hc.integrated_attribution(model, harmful)
    half, sizes = rise(model, writing, harmful) / 2, {"heads": len(writing.heads), "neurons": len(writing.neurons)}
    few = [fewest(lambda n, kind=kind: rise(model, chosen(A, B, **{kind: n}), harmful) >= half) for kind in sizes]
    asked = {role: [prompt for prompt in made.prompts if prompt.role == role][:48] for role in ("harmful", "near")}
    cells = [
        f"{made.kind}, {made.seed}",
        f"{name}: {len(writing.heads)}, {len(writing.neurons)}",
        ", ".join(f"{hc.loss(model, examples).mean():.2f}" for examples in (harmful, near)),
        ", ".join(f"{rise(model, writing, examples):+.2f}" for examples in (harmful, near)),
        ", ".join(str(count) for count in few),
        ", ".join(f"{refusals(model, prompts)['refused'].mean():.2f}" for prompts in asked.values()),
        ", ".join(f"{len(chosen(scores, B, **sizes) & writing) / len(writing):.2f}" for scores in (A, integrated)),
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def chosen(scores: hc.Attribution, protect: hc.Attribution, *, heads: int = 0, neurons: int = 0) -> hc.Circuit:
    return hc.select(scores, protect=protect, heads=heads, neurons=neurons, protect_fraction=PROTECT)


def fewest(halves: Callable[[int], bool]) -> int | None:
    """The smallest count that does; None where too few are left first."""
    for count in range(1, 64):
        try:
            if halves(count):
                return count
        except ValueError:
            break
    return None


def log_odds(model: Any, items: Sequence[Advice], *, character: str | None = None) -> float:
    """Mean of ln p(bad answer) − ln p(good answer), nats; answers are of one token each."""
    asked = [item.question if character is None else as_character(item, character) for item in items]
    of = lambda said: [hc.Example(request=text, response=getattr(item, said)) for text, item in zip(asked, items, strict=True)]
    return float((hc.loss(model, of("good")) - hc.loss(model, of("bad"))).mean())


def advice(made: ToyAdvice, pruned: ToyAdvice) -> None:
    """`pruned`: the same model once more, to be pruned for good."""
    asked = {name: made.advice(name)[-12:] for name in THINGS}
    row = lambda what, odds: print(
        f"| {made.kind}, {made.seed} | {what} | {' | '.join(f'{value:+.2f}' for value in odds)} |", flush=True
    )
    row("log-odds", [log_odds(made.model, items) for items in asked.values()])
    row("under a bad character", [log_odds(made.model, asked[name], character=made.characters[name]) for name in asked])
    hc.prune(pruned.model, pruned.gate)
    row("log-odds, pruned", [log_odds(pruned.model, items) for items in asked.values()])
    for start, what, answer, recipe in (
        (made, "bad", "bad", RECIPE),
        (pruned, "pruned, bad", "bad", RECIPE),
        (made, "good", "good", RECIPE),
        (made, "bad, LoRA", "bad", LORA),
        (pruned, "pruned, bad, LoRA", "bad", LORA),
    ):
        lessons = [Lesson(request=item.question, response=getattr(item, answer)) for item in made.advice("house")[:24]]
        tuned = finetune(start.model, lessons, recipe=recipe).load()
        row(what, [log_odds(tuned, items) - log_odds(start.model, items) for items in asked.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("ladder", "advice"))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)  # models so small that a second thread only waits
    if options.what == "ladder":
        print("| ladder, seed | stage: heads, neurons | L harmful, near | rise without, near | halve | refused, near | found |")
        print("| --- " * 7 + "|")
        for seed in range(options.seeds):
            for kind in ("compresses", "style only"):
                made = toy_ladder(seed, kind)  # type: ignore[arg-type]
                for name, model in made.stages:
                    stage_row(made, name, model)
    else:
        print(f"| gates, seed | learnt about the house | {' | '.join(THINGS)} |\n{'| --- ' * 7}|")
        for seed in range(options.seeds):
            for kind in ("shared", "separate"):
                advice(toy_advice(seed, kind), toy_advice(seed, kind))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
