"""First-order scores on a model's own samples, and on its greedy responses: is there anything but noise?

On samples at temperature 1 the expectation of A is 0 for every component (docs/trust.md). z = mean of A over examples ÷ its
standard error then has standard deviation 1, and scores of two halves of the examples do not correlate.

    python benchmarks/sampled_or_greedy.py --triples 32
"""

import argparse

import torch
from jaxtyping import Float
from torch import Tensor

import harmcircuits as hc


def z_scores(scores: Float[Tensor, "example layer index"]) -> Float[Tensor, " component"]:
    error = scores.std(0) / len(scores) ** 0.5
    return (scores.mean(0) / error.clamp_min(1e-12)).flatten()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triples", type=int, default=32)
    parser.add_argument("--temperatures", type=float, nargs="*", default=[1.0, 0.0])
    options = parser.parse_args()

    model = hc.load_model(dtype=torch.float32)
    train, _, _ = hc.load_prompts().split(seed=0)
    few = train.sample(options.triples, seed=0)
    prompts = [prompt for prompt in few if prompt.role != "far"]
    if options.temperatures:
        names = [
            "temperature",
            "components",
            "sd of z",
            "share beyond 2 errors",
            "Pearson of halves",
            "Spearman of halves",
        ]
        print(f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|")
    for temperature in options.temperatures:
        scores = hc.attribute(model, hc.elicit(model, prompts, max_new_tokens=32, temperature=temperature))
        halves = scores[list(range(0, len(prompts), 2))].compare(scores[list(range(1, len(prompts), 2))])
        for kind, own, found in (
            ("heads", scores.per_example_heads, halves.heads),
            ("neurons", scores.per_example_neurons, halves.neurons),
        ):
            z = z_scores(own)
            cells = [float(z.std()), float((z.abs() > 2).float().mean()), found.pearson.value, found.spearman.value]
            print(f"| {temperature:g} | {kind} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
