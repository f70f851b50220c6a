"""Find what writes harm in a small real model, switch it off, and see whether the model still recognises harm.

Runs as a script (`python examples/01_dissociation.py`, some 10 minutes on two cores) and cell by cell in an editor.
"""

# %% A real model: SmolLM2-135M-Instruct, fetched once; its weights are rounded to 4 bits.
import logging

import harmcircuits as hc

logging.basicConfig(level=logging.WARNING)
model = hc.load_model()
print(type(model).__name__, model.cfg.n_layers, "layers of", model.cfg.n_heads, "heads and", model.cfg.d_mlp, "neurons")

# %% Requests of our own: each harmful one has a near twin (same words, benign intent) and a far twin (same form).
prompts = hc.load_prompts()
train, development, test = prompts.split(seed=0)
print(prompts)
few = train.sample(16, seed=0)

# %% The model writes its own responses, after a prefill that suits all three requests of a triple. Greedy: on samples at
# temperature 1 every first-order score is 0 on average (docs/trust.md).
harmful = hc.elicit(model, few.harmful, max_new_tokens=32, temperature=0, progress=True)
benign = hc.elicit(model, few.benign, max_new_tokens=32, temperature=0, progress=True)
print(f"L in nats per token: harmful {hc.loss(model, harmful).mean():.2f}, benign {hc.loss(model, benign).mean():.2f}")

# %% One forward and one backward pass score every head and neuron. Positive: it promotes the response.
A = hc.attribute(model, harmful, progress=True)
B = hc.attribute(model, benign, progress=True)
print(A.table(5).to_string(index=False))

# %% A circuit: what promotes harm most, after the components that benign text rests on are set aside.
circuit = hc.select(A, protect=B, heads=8, neurons=138, protect_fraction={"heads": 0.5, "neurons": 0.1})
print(len(circuit.heads), "heads:", circuit.heads)

# %% Switch it off: how much less likely do the same responses become? (In-sample; the next cell uses held-out triples.)
with hc.ablated(model, circuit):
    for name, examples in (("harmful", harmful), ("benign", benign)):
        ablated = hc.loss(model, examples).mean()
        print(f"L of {name} responses without the circuit: {ablated:.2f} nats/token")

# %% The whole comparison on held-out triples: controls, recognition, intervals, and a verdict.
result = hc.dissociate(model, circuit, test, train=train, development=development, settings=hc.Settings.quick(), progress=True)
print(result.table().to_string(index=False))
print(result.report["verdict_sentence"])
result.save("out/example-01")

# %% In a notebook, the last line of a cell shows the figure.
result.figure()
