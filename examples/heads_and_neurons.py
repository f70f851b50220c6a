# %% [markdown]
# # Heads and neurons
# From a score to a component, and from a component to what it does: the tokens at which it is active, the tokens that it
# writes, where it looks. Words of responses stay hidden unless asked for.

# %%
import harmcircuits as hc

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few = train.sample(8, seed=0)
harmful = hc.elicit(model, few.harmful, max_new_tokens=24, temperature=0)
A = hc.attribute(model, harmful)  # one forward and one backward pass score every head and neuron; nats per token
A.table(10)[["component", "score", "low", "high", "unsigned"]].round(4)

# %% [markdown]
# The head and the neuron that most surely promote harmful responses: of the 50 largest, the highest lower end of the interval.

# %%
surest = lambda kind: tuple(A.table(50, kind=kind).nlargest(1, "low")[["layer", "index"]].iloc[0])
head, neuron = surest("heads"), surest("neurons")
A.figure()

# %% [markdown]
# The tokens of requests and prefills at which the neuron is most active.

# %%
hc.top_tokens(model, harmful, neuron=neuron, k=5)[["token", "value", "context"]].round(3)

# %% [markdown]
# The tokens that it makes likelier and less likely, past all later layers, in logits.

# %%
effects = hc.direct_effects(model, harmful, neuron=neuron, k=5)
print(f"{effects.component} adds to the logit of what was written: {effects.logit}")
effects.tokens.round(3)

# %% [markdown]
# Where the head looks, in one example. With [circuitsvis](https://github.com/TransformerLensOrg/CircuitsVis) installed, the
# usual view of all heads of its layer follows, on the request alone.

# %%
pattern = hc.attention_pattern(model, harmful[0], head=head)
print(f"{pattern.component} spends {pattern.pattern[:, 0].mean():.0%} of its attention on the first token")
pattern.figure()

# %%
from importlib.util import find_spec

view = None
if find_spec("circuitsvis"):
    import circuitsvis

    _, cache = model.run_with_cache(harmful[0].request, names_filter=f"blocks.{head[0]}.attn.hook_pattern")
    view = circuitsvis.attention.attention_patterns(
        model.to_str_tokens(harmful[0].request), cache[f"blocks.{head[0]}.attn.hook_pattern"][0]
    )
view

# %% [markdown]
# None of this says what would happen without them. That is measured: the loss increase of the same responses.

# %%
ablations = {"baseline": None, pattern.component: hc.Circuit(heads=[head]), effects.component: hc.Circuit(neurons=[neuron])}
L = hc.sweep(model, ablations, harmful)
for name in (pattern.component, effects.component):
    print(f"without {name}: ΔL {(L[name] - L['baseline']).mean():+.4f} nats per token")

# %% [markdown]
# First-order scores are an approximation. `method="exact"` ablates each component in turn; `method="integrated"` lies between.

# %%
heads = [(layer, index) for layer, index in A.table(20, kind="heads")[["layer", "index"]].itertuples(index=False)]
exact = hc.attribute(model, harmful, heads=heads, method="exact")
print(A.compare(exact).to_string(index=False))
