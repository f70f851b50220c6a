"""First-order scores on a model's own samples, and on its greedy responses: is there anything but noise?

On samples at temperature 1 the expectation of A is 0 for every component (docs/trust.md). z = mean of A over examples ÷ its
standard error then has standard deviation 1, and scores of two halves of the examples do not correlate.

    python benchmarks/sampled_or_greedy.py --triples 32 --seeds 4 --save out/reliability.html

Seeds: other responses to the same harmful requests, at temperature 0.5, scored apart. The figure: greedy responses to the
harmful requests of all attribution triples, agreement of two subsets against their size.
"""

import argparse

import torch
from jaxtyping import Float
from torch import Tensor

import harmcircuits as hc
from harmcircuits import figures


def z_scores(scores: Float[Tensor, "example layer index"]) -> Float[Tensor, " component"]:
    error = scores.std(0) / len(scores) ** 0.5
    return (scores.mean(0) / error.clamp_min(1e-12)).flatten()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triples", type=int, default=32)
    parser.add_argument("--temperatures", type=float, nargs="*", default=[1.0, 0.0])
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--save", help="the figure, .html or .png")
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
            "of noise",
            "Pearson of halves",
            "Spearman of halves",
        ]
        print(f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|")
    for temperature in options.temperatures:
        scores = hc.attribute(model, hc.elicit(model, prompts, max_new_tokens=32, temperature=temperature))
        halves = scores.split_half(draws=50)
        for kind, own, found in (
            ("heads", scores.per_example_heads, halves.heads),
            ("neurons", scores.per_example_neurons, halves.neurons),
        ):
            between = [found.between_halves("pearson"), found.between_halves("spearman")]
            cells = [float(z_scores(own).std()), found.beyond_two, found.beyond_two_chance, *between]
            print(f"| {temperature:g} | {kind} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)
    if options.seeds:
        harmful = few.harmful
        responses = [hc.elicit(model, harmful, max_new_tokens=32, temperature=0.5, seed=seed) for seed in range(options.seeds)]
        between = hc.reliability_between([hc.attribute(model, own) for own in responses])
        print(f"{options.seeds} seeds at temperature 0.5, {len(harmful)} harmful requests")
        print(between.drop(columns="matrix").to_string(index=False))
    if options.save:
        scores = hc.attribute(model, hc.elicit(model, train.harmful, max_new_tokens=32, temperature=0))
        reliability = scores.split_half()
        needed = {kind: getattr(reliability, kind).examples_needed(0.9) for kind in ("heads", "neurons")}
        print(f"{scores.n_examples} greedy harmful examples; needed for a reliability of 0.9: {needed}")
        figures.save(reliability.figure(), options.save)


if __name__ == "__main__":
    main()
