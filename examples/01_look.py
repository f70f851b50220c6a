"""Load a model, let it write, and look: from scores to a component, and from a component to what it does.

Runs as a script (`python examples/01_look.py`, meant for less than 3 minutes on two cores) and cell by cell in an editor.
"""

# %% A real model: SmolLM2-135M-Instruct, fetched once; its weights are rounded to 4 bits.
import harmcircuits as hc
from harmcircuits import figures

model = hc.load_model()
print(type(model).__name__, model.cfg.n_layers, "layers of", model.cfg.n_heads, "heads and", model.cfg.d_mlp, "neurons")

# %% Requests of our own: each harmful one has a matched benign one (same words, benign intent) and an unrelated
# benign one (same form).
train, development, test = hc.load_prompts().split(seed=0)
few = train.sample(8, seed=0)
print(few)

# %% The model writes its own responses, after a prefill that suits all three requests of a triple. Greedy: on samples at
# temperature 1 every first-order score is 0 on average (docs/trust.md).
harmful = hc.elicit(model, few.harmful, max_new_tokens=24, temperature=0, progress=True)
benign = hc.elicit(model, few.benign, max_new_tokens=24, temperature=0, progress=True)
print(f"L in nats per token: harmful {hc.loss(model, harmful).mean():.2f}, benign {hc.loss(model, benign).mean():.2f}")

# %% One forward and one backward pass score every head and neuron, in nats per token. Positive: it promotes the response.
A = hc.attribute(model, harmful)
B = hc.attribute(model, benign)
print(A.table(10)[["component", "score", "low", "high", "unsigned"]].round(4).to_string(index=False))

# %% The heads as a heat map. In a notebook, the last line of a cell shows the figure; a script keeps it as a page.
figures.save(A.figure(), "out/example-01/heads.html")
A.figure()

# %% What promotes harmful text most promotes benign text too: to be a circuit of harm, something must set that aside (02).
both = set(A.table(20)["component"]) & set(B.table(20)["component"])
print(f"{len(both)} of the 20 components that promote harmful responses most are among the 20 of benign ones")

# %% From a score to a component: the head and the neuron that promote harmful responses most.
head, neuron = (tuple(A.table(1, kind=kind)[["layer", "index"]].iloc[0]) for kind in ("heads", "neurons"))

# %% What the neuron answers to: the tokens of requests and prefills at which it is most active. Responses are not looked at.
print(hc.top_tokens(model, harmful, neuron=neuron, k=5)[["token", "value", "context"]].to_string(index=False))

# %% What it writes: the tokens that it makes likelier, and those that it makes less likely, past all later layers (in logits).
effects = hc.direct_effects(model, harmful, neuron=neuron, k=5)
print(f"{effects.component} adds to the logit of what was written: {effects.logit}")
print(effects.tokens.round(3).to_string(index=False))

# %% Where the head looks, in one example. Words of the response are hidden in the figure unless asked for.
pattern = hc.attention_pattern(model, harmful[0], head=head)
print(f"{pattern.component} spends {pattern.pattern[:, 0].mean():.0%} of its attention on the first token")
pattern.figure()

# %% None of this says what would happen without them. That is measured: the loss increase, nats per token, same responses.
L = hc.sweep(model, [None, hc.Circuit(heads=[head]), hc.Circuit(neurons=[neuron])], harmful)
for name, rise in zip((pattern.component, effects.component), L[1:] - L[0], strict=True):
    print(f"L of harmful responses without {name}: {rise.mean():+.4f} nats per token")
