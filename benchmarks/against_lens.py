"""TransformerLens' own `attribution_patch` (node) ÷ `attribute`, same model, same examples, equal scores, one process.

`attribution_patch` compares pairs. Here the activation that it patches in is zero (by hooks), so that its score of a head is
the one that `attribute` gives: this is asserted before anything is timed. It scores heads and whole MLPs; `attribute` scores
heads and every single neuron, whose sum over an MLP is asserted to be its score too. Beside it, the one part of it that
computes (`cache_activation_and_gradient`, one forward and one backward pass a row), without its clean run and its sums over
nodes. Runs alternate; the medians are compared, of seconds on the clock and of processor seconds of all threads: where other
work shares the machine, the second is the steadier one (with OMP_NUM_THREADS=1, or waiting threads count as work).

    python benchmarks/against_lens.py --examples 8 --repeats 3
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from transformer_lens.tools.analysis import attribution_patching

import harmcircuits as hc
from harmcircuits.examples import example_rows, row_length
from harmcircuits.models.protocol import start_graph

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from against_lens import loss_of_row, node_sums, patched_with_zero  # the definition that the test uses


def assert_equal(ours: hc.Attribution, theirs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    heads, mlps = (torch.stack(parts) for parts in zip(*theirs, strict=True))
    pairs = ((ours.per_example_heads, heads), (ours.per_example_neurons.double().sum(-1), mlps))
    for what, (own, other) in zip(("heads", "MLPs"), pairs, strict=True):
        difference = float((own - other).abs().max() / other.abs().max())
        assert difference < 1e-4, f"the scores of {what} differ by {difference:.1e} of the largest: the race means nothing"
        print(f"{what}: scores equal within {difference:.1e} of the largest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="of a response, at most")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Full backward hook is firing")

    bridge = hc.load_model()
    prompts = hc.load_prompts().sample(options.examples, seed=0).harmful
    examples = hc.elicit(bridge, prompts, max_new_tokens=options.tokens)
    rows = example_rows(bridge, examples)
    pairs = [(torch.tensor([row.tokens]), loss_of_row(row)) for row in rows]
    shape = bridge.cfg.n_layers, bridge.cfg.n_heads

    def patched() -> list[tuple[torch.Tensor, torch.Tensor]]:
        patch = attribution_patching.attribution_patch
        return [node_sums(patched_with_zero(patch, bridge, tokens, loss), *shape) for tokens, loss in pairs]

    def gradients_alone() -> None:
        with bridge.hooks(fwd_hooks=[("hook_embed", start_graph)]):
            for tokens, loss in pairs:
                attribution_patching.cache_activation_and_gradient(bridge, tokens, loss)

    assert_equal(hc.attribute(bridge, examples), patched())
    runs: dict[str, Callable[[], object]] = {
        "attribute": lambda: hc.attribute(bridge, examples),
        "attribution_patch": patched,
        "its forward and backward passes alone": gradients_alone,
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, run in runs.items():
            clock, processor = time.perf_counter(), time.process_time()
            run()
            if repeat:  # the first round warms up
                seconds[name].append((time.perf_counter() - clock, time.process_time() - processor))
    tokens = sum(map(row_length, rows))
    print(f"{len(examples)} examples, {tokens} tokens, {options.repeats} alternating runs, {torch.get_num_threads()} threads")
    for at, what in enumerate(("on the clock", "of the processor")):
        taken = {name: [each[at] for each in own] for name, own in seconds.items()}
        print(f"attribute: {statistics.median(taken['attribute']):.2f} s {what}")
        for name in list(runs)[1:]:
            medians = statistics.median(taken[name]) / statistics.median(taken["attribute"])
            spread = ", ".join(f"{a / b:.2f}" for a, b in sorted(zip(taken[name], taken["attribute"], strict=True)))
            print(f"{name} ÷ attribute: {medians:.2f} {what} (ratio of medians; run by run {spread})")


if __name__ == "__main__":
    main()
