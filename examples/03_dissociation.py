"""Find what writes harm in a small real model, switch it off, and see whether the model still recognises harm.

Runs as a script (`python examples/03_dissociation.py`, meant for less than 3 minutes on two cores) and cell by cell in an
editor.
"""

# %% A model, requests in triples, and the model's own greedy responses to a few of them.
from dataclasses import replace

import harmcircuits as hc

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few = train.sample(6, seed=0)
harmful, benign = (hc.elicit(model, own, max_new_tokens=16, temperature=0) for own in (few.harmful, few.benign))

# %% A circuit: what promotes harm most, after the components that benign text rests on are set aside.
A, B = hc.attribute(model, harmful), hc.attribute(model, benign)
circuit = hc.select(A, protect=B, heads=8, neurons=138, protect_fraction={"heads": 0.5, "neurons": 0.1})
print(len(circuit.heads), "heads:", circuit.heads)

# %% Switch it off: how much less likely do the same responses become? (In-sample; the next cells use held-out triples.)
with hc.ablated(model, circuit):
    for name, examples in (("harmful", harmful), ("benign", benign)):
        print(f"L of {name} responses without the circuit: {hc.loss(model, examples).mean():.2f} nats per token")

# %% The whole comparison on held-out triples: controls, recognition, intervals, and a verdict. Sizes are cut down to fit in 3
# minutes, so that intervals are wide and the verdict can say little. Take `Settings.quick()` for a look in some minutes, and
# `Settings()` for a run that can decide (`harmcircuits dissociate`: 80 test triples, 39 draws of each null).
settings = replace(
    hc.Settings.quick().on(6),
    attribution_triples=6,
    development_triples=3,
    max_new_tokens=12,
    probe_triples=8,
    aim_triples=4,
    weight_q=0,
    null_draws=1,
    null_triples=4,
)
result = hc.dissociate(model, circuit, test, train=train, development=development, settings=settings, progress=True)
print(result)

# %% One row a condition; writing and recognition are read under the same ablation, 95 % intervals over triples.
print(result.table().to_string(index=False))

# %% The verdict follows rules that were fixed before the run (docs/concepts.md), and its limits are said with it.
print(result.report["verdict_sentence"])
print(*result.report["limits"], sep="\n")

# %% Numbers, circuits, scores and a page that fetches nothing; none of it holds what the model wrote.
result.save("out/example-03")
print(*sorted(hc.Dissociation.load("out/example-03").circuits), sep=", ")

# %% In a notebook, the last line of a cell shows the figure.
result.figure()
