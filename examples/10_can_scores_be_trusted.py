"""Can the scores be trusted? First order against exact, half of the examples against the other, greedy text against samples.

Runs as a script (`python examples/10_can_scores_be_trusted.py`, meant for less than 3 minutes on two cores) and cell by cell in
an editor.
"""

# %% First-order scores of all heads and neurons, on greedy responses.
from random import Random

import harmcircuits as hc
from harmcircuits import figures

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
prompts = train.sample(20, seed=0).harmful
greedy = hc.elicit(model, prompts, max_new_tokens=24, temperature=0)
A = hc.attribute(model, greedy)

# %% Is the estimate near the truth? The truth is the rise of L without one component at a time, and costs a pass for each. So:
# the twelve heads of largest A, and twelve of the others, drawn at random, on eight of the examples.
top = list(A.top(12, kind="heads")[["layer", "index"]].itertuples(index=False, name=None))
rest = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
others = Random(0).sample([head for head in rest if head not in top], 12)
exact = hc.exact_attribution(model, greedy[:8], heads=[*top, *others], progress=True)
same = A[list(range(8))]
agreement = same.compare(exact, k=6, names=("first order", "exact"))
print(agreement.table().drop(columns=["kind"]).round(2).to_string(index=False, na_rep=""))

# %% The order is what selection needs; the size is another matter. One row a head, in nats per token.
for head in top[:6]:
    print(f"L{head[0]}H{head[1]}: first order {same.heads[head]:+.4f}, exact {exact.heads[head]:+.4f}")

# %% Together they may do more, or less, than the sum of what each does alone.
L = hc.sweep(model, [None, hc.Circuit(heads=top)], greedy[:8])
alone = sum(float(exact.heads[head]) for head in top)
print(f"all twelve off: {(L[1] - L[0]).mean():+.3f} nats per token; the sum of each alone: {alone:+.3f}")

# %% Would other requests give the same scores? `whole` is the reliability of all examples, by Spearman and Brown.
reliability = A.split_half()
for kind in (reliability.heads, reliability.neurons):
    print(kind, "- examples for a reliability of 0.9:", kind.examples_needed(0.9))

# %% On what text? On samples at temperature 1 a model is at the optimum of its own likelihood, so that every first-order score
# is 0 on average, and halves do not agree: what would be selected is noise. Exact scores do not share this (docs/trust.md).
samples = hc.attribute(model, hc.elicit(model, prompts, max_new_tokens=24, temperature=1))
for name, scores in (("greedy", A), ("sampled", samples)):
    halves = scores.split_half()
    print(f"{name:8} Pearson's r of halves: heads {halves.heads.between_halves():+.2f}", end="")
    print(f", neurons {halves.neurons.between_halves():+.2f}")

# %% In a notebook, the last line of a cell shows the figure; a script keeps it as a page.
figures.save(agreement.figure(), "out/example-10/agreement.html")
reliability.figure()
