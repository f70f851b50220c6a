"""How many steps integrated attribution needs: the completeness error on the default model and on planted models.

python benchmarks/integration_steps.py --steps 8 32 128 --examples 2
"""

import argparse
from collections.abc import Sequence
from typing import Any

import harmcircuits as hc


def report(name: str, model: Any, examples: Sequence[Any], steps: Sequence[int]) -> None:
    """One line for each number of steps: errors and rises (L without any component − L), nats per token."""
    for n in steps:
        scores = hc.integrated_attribution(model, examples, steps=n)
        assert scores.completeness_error is not None
        rises = scores.per_example_heads.sum((1, 2)) + scores.per_example_neurons.sum((1, 2)) - scores.completeness_error
        error, rise = scores.completeness_error.abs().mean(), rises.mean()
        each = ", ".join(f"{one:.3g}" for one in scores.completeness_error[:4])
        print(f"{name}, {n} steps: mean |error| {error:.3g} of a mean rise of {rise:.3g}; first errors {each}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--examples", type=int, default=2)
    options = parser.parse_args()
    for label, organism in (
        ("planted", hc.organisms.planted(0)),
        ("planted, redundant", hc.organisms.planted(0, "redundant")),
    ):
        report(label, organism.model, organism.harmful, options.steps)
    model = hc.load_model()
    train, _, _ = hc.load_prompts().split(seed=0)
    prompts = train.sample(max(12, options.examples), seed=0).harmful[: options.examples]
    report("default model", model, hc.elicit(model, prompts, max_new_tokens=32, temperature=0), options.steps)


if __name__ == "__main__":
    main()
