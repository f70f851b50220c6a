"""First-order scores against the exact rise, on the default model: all heads, and neurons drawn at random and from the top.

Both on the same harmful examples, greedy (circuits are found on those); the exact rise on samples at temperature 1 beside
it (they are tested on those).

    python benchmarks/first_order.py --examples 12 --neurons 512 --save out/first-order.html
    python benchmarks/first_order.py --temperatures 1 0 --examples 64

With `--temperatures`: scores of the model's own responses. At 1 the expectation of A is 0 for every component (docs/trust.md):
z = mean of A over examples ÷ its standard error then has standard deviation 1, and scores of two halves do not correlate.
"""

import argparse
from random import Random
from typing import Any

import pandas as pd
import plotly.express as px
import torch
from jaxtyping import Float
from torch import Tensor

import harmcircuits as hc
from harmcircuits import figures
from harmcircuits.models.protocol import geometry


def beside(
    model: Any, prompts: list[Any], greedy: list[Any], first: hc.Attribution, exact: hc.Attribution, options: argparse.Namespace
) -> dict[str, pd.DataFrame]:
    """Integrated scores on the same responses; both kinds of scores of heads on samples."""
    sampled = hc.elicit(model, prompts, max_new_tokens=options.tokens, temperature=1)
    heads = [(int(layer), int(head)) for layer, head in exact.measured["heads"].nonzero()]
    tested = hc.attribute(model, sampled, heads=heads, progress=True, method="exact")
    integrated = hc.attribute(model, greedy, steps=options.steps, method="integrated")
    return {
        "integrated ~ exact": integrated.compare(exact),
        "first order on samples ~ exact on samples": hc.attribute(model, sampled).compare(tested),
        "first order on greedy ~ exact on samples": first.compare(tested),
        "exact on greedy ~ exact on samples": exact.compare(tested),
    }


def drawn(first: hc.Attribution, exact: hc.Attribution) -> Any:
    """Every measured component: first-order against exact scores, heads above neurons."""
    points = []
    for kind in ("heads", "neurons"):
        measured = exact.measured[kind]
        x, y = (getattr(scores, kind)[measured].numpy() for scores in (exact, first))
        places = [f"L{layer}{'HN'[kind == 'neurons']}{index}" for layer, index in measured.nonzero().tolist()]
        points.append(pd.DataFrame({"x": x, "value": y, "series": "component", "name": places, "facet": kind}))
    frame = pd.concat(points)
    drawn = px.scatter(frame, x="x", y="value", facet_row="facet", hover_name="name", title="Do the two scores agree?")
    drawn.update_yaxes(matches=None).update_xaxes(matches=None, showticklabels=True)
    for row, kind in enumerate(("neurons", "heads"), 1):  # plotly counts rows from below
        ends = frame.loc[frame["facet"] == kind, ["x", "value"]].to_numpy()
        low, high = float(ends.min()), float(ends.max())
        drawn.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line={"color": "grey"}, row=row, col=1)
    axes = {"xaxis_title": "exact: A (nats per token)", "yaxis_title": "first order: A (nats per token)"}
    return drawn.update_layout(template="plotly_white", **axes)


def z_scores(scores: Float[Tensor, "example layer index"]) -> Float[Tensor, " component"]:
    error = scores.std(0) / len(scores) ** 0.5
    return (scores.mean(0) / error.clamp_min(1e-12)).flatten()


def by_temperature(model: Any, temperatures: list[float], examples: int) -> None:
    """Print a table: half of the responses are to harmful requests, half to their matched benign twins."""
    train, _, _ = hc.load_prompts().split(seed=0)
    prompts = [prompt for prompt in train.sample(examples // 2, seed=0) if prompt.role != "far"]
    columns = ["temperature", "components", "sd of z", "share beyond 2 errors", "Pearson of halves", "Spearman of halves"]
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for temperature in temperatures:
        scores = hc.attribute(model, hc.elicit(model, prompts, max_new_tokens=32, temperature=temperature))
        halves = scores[list(range(0, len(prompts), 2))].compare(scores[list(range(1, len(prompts), 2))])
        for kind in ("heads", "neurons"):
            z = z_scores(getattr(scores, f"per_example_{kind}"))
            agreement = halves[halves["kind"] == kind].set_index("measure")["value"]
            cells = [z.std(), (z.abs() > 2).float().mean(), agreement["pearson"], agreement["spearman"]]
            print(f"| {temperature:g} | {kind} | {' | '.join(f'{float(cell):.3f}' for cell in cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=12)
    parser.add_argument("--neurons", type=int, default=512, help="half of them from the top of A, half at random")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--save", help="the scatter of first order against exact, .html or .png")
    parser.add_argument("--temperatures", type=float, nargs="+", help="scores by temperature alone")
    options = parser.parse_args()

    model = hc.load_model(dtype=torch.float32)
    if options.temperatures:
        by_temperature(model, options.temperatures, options.examples)
        return
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
    pairs = {"first order ~ exact": first.compare(exact)}
    pairs |= beside(model, prompts, greedy, first, exact, options)
    for name, table in pairs.items():
        print(f"\n{name}\n{table.to_string(index=False)}", flush=True)
    if options.save:
        figures.save(drawn(first, exact), options.save)


if __name__ == "__main__":
    main()
