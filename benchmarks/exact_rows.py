"""Exact attribution of every head ÷ one forward pass a head, same model, same examples, one process.

The opponent does what anybody would write first: for each example and head, a forward pass of one row on the same bridge with
a hook that sets the head to zero, full logits, and the loss of the response. It is timed on `--per-layer` heads of every
layer and scaled up to all of them; both must agree on those. Runs alternate; medians and ratios run by run are printed.

    python benchmarks/exact_rows.py --examples 4 --repeats 3
"""

import argparse
import statistics
import time
from functools import partial

import torch

import harmcircuits as hc
from harmcircuits.examples import Row, example_rows, make_batch, response_loss
from harmcircuits.models.protocol import geometry, head_hook


def zero(head: int, activation: torch.Tensor, hook: object) -> torch.Tensor:
    activation[:, :, head] = 0
    return activation


@torch.no_grad()
def naive(model: object, rows: list[Row], heads: list[tuple[int, int]]) -> torch.Tensor:
    """The loss of each example (row) without each head (column)."""
    losses = torch.empty(len(rows), len(heads))
    for example, row in enumerate(rows):
        batch = make_batch(model, [row])
        for column, (layer, head) in enumerate(heads):
            hooks = [(head_hook(layer), partial(zero, head))]
            logits = model.run_with_hooks(batch.tokens, return_type="logits", fwd_hooks=hooks)
            losses[example, column] = response_loss(logits.flatten(0, 1)[batch.positions], batch)[0]
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="of a response, at most")
    parser.add_argument("--per-layer", type=int, default=1, help="heads of each layer that the opponent is timed on")
    parser.add_argument("--batch-size", type=int, default=None)
    options = parser.parse_args()

    model = hc.load_model()
    examples = hc.elicit(model, hc.load_prompts().sample(options.examples, seed=0).harmful, max_new_tokens=options.tokens)
    rows = example_rows(model, examples)
    shape = geometry(model)
    some = [(layer, (layer + step) % shape.n_heads) for layer in range(shape.n_layers) for step in range(options.per_layer)]
    share = len(some) / (shape.n_layers * shape.n_heads)

    seconds: dict[str, list[float]] = {"exact": [], "naive": []}
    for _ in range(options.repeats):
        start = time.perf_counter()
        scores = hc.exact_attribution(model, examples, batch_size=options.batch_size)
        middle = time.perf_counter()
        losses = naive(model, rows, some)
        seconds["exact"].append(middle - start)
        seconds["naive"].append((time.perf_counter() - middle) / share)
    rise = losses - hc.loss(model, examples)[:, None]
    ours = torch.stack([scores.per_example_heads[:, layer, head] for layer, head in some], 1)
    difference = float((ours - rise).abs().max())
    assert difference < 1e-3, f"the two disagree by {difference}"

    tokens = sum(len(row.tokens) for row in rows)
    print(f"{len(rows)} examples, {tokens} tokens, {shape.n_layers * shape.n_heads} heads, {torch.get_num_threads()} threads")
    pairs = ", ".join(f"{b / a:.2f}" for a, b in zip(seconds["exact"], seconds["naive"], strict=True))
    ratio = statistics.median(seconds["naive"]) / statistics.median(seconds["exact"])
    print(f"one forward a head ÷ exact_attribution: {ratio:.2f} (ratio of medians; run by run {pairs})")
    print(f"a head on an example: {1e3 * statistics.median(seconds['exact']) / len(rows) / (len(some) / share):.0f} ms")
    print(f"largest difference of the {len(some)} scores measured in both ways: {difference:.1e} nats per token")


if __name__ == "__main__":
    main()
