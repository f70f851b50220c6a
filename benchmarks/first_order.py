"""First-order scores against the exact rise, on the default model: all heads, and neurons drawn at random and from the top.

Both on the same harmful examples, greedy (circuits are found on those); the exact rise on samples at temperature 1 beside
it (they are tested on those).

    python benchmarks/first_order.py --examples 12 --neurons 512 --save out/first-order.html
"""

import argparse
from random import Random
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits import figures
from harmcircuits.models.protocol import geometry


def beside(
    model: Any, prompts: list[Any], greedy: list[Any], first: hc.Attribution, exact: hc.Attribution, options: argparse.Namespace
) -> dict[str, hc.Agreement]:
    """Integrated scores on the same responses; both kinds of scores of heads on samples."""
    sampled = hc.elicit(model, prompts, max_new_tokens=options.tokens, temperature=1)
    heads = [(int(layer), int(head)) for layer, head in exact.measured["heads"].nonzero()]
    tested = hc.attribute(model, sampled, heads=heads, progress=True, method="exact")
    integrated = hc.attribute(model, greedy, steps=options.steps, method="integrated")
    assert integrated.completeness_error is not None
    rise = integrated.heads.sum() + integrated.neurons.sum() - integrated.completeness_error.mean()
    print(
        f"{options.examples} examples, integrated, {options.steps} steps: mean completeness error "
        f"{integrated.completeness_error.abs().mean():.4f} of a rise of {rise:.3f} nats per token"
    )
    return {
        "integrated ~ exact": integrated.compare(exact, names=("integrated", "exact")),
        "first order on samples ~ exact on samples": hc.attribute(model, sampled).compare(tested),
        "first order on greedy ~ exact on samples": first.compare(tested),
        "exact on greedy ~ exact on samples": exact.compare(tested),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=12)
    parser.add_argument("--neurons", type=int, default=512, help="half of them from the top of A, half at random")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--save", help="the scatter of first order against exact, .html or .png")
    options = parser.parse_args()

    model = hc.load_model(dtype=torch.float32)
    shape = geometry(model)
    train, _, _ = hc.load_prompts().split(seed=0)
    prompts = train.sample(options.examples, seed=0).harmful
    greedy = hc.elicit(model, prompts, max_new_tokens=options.tokens, temperature=0)
    first = hc.attribute(model, greedy)
    top = [divmod(int(flat), shape.d_mlp) for flat in first.neurons.flatten().topk(options.neurons // 2).indices]
    every = [(layer, neuron) for layer in range(shape.n_layers) for neuron in range(shape.d_mlp)]
    neurons = sorted({*top, *Random(0).sample([at for at in every if at not in set(top)], options.neurons - len(top))})
    heads = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]

    exact = hc.attribute(model, greedy, heads=heads, neurons=neurons, progress=True, method="exact")
    pairs = {"first order ~ exact": first.compare(exact, names=("first order", "exact"))}
    pairs |= beside(model, prompts, greedy, first, exact, options)
    for name, found in pairs.items():
        print(f"\n{name}\n{found.table().to_string(index=False)}", flush=True)
    if options.save:
        figures.save(pairs["first order ~ exact"].figure(), options.save)


if __name__ == "__main__":
    main()
