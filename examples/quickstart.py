# %% [markdown]
# # Quickstart
# Which attention heads and neurons does a model use to generate harmful text, and does it still recognise harm without them?
# Scores, losses and their increases are in nats per token. The model's responses stay in memory: none is shown here.

# %%
import harmcircuits as hc

model = hc.load_model("smollm2-135m-instruct")  # or a transformers folder, a hub id, a .gguf file: own_model_and_prompts
train, development, test = hc.load_prompts().split(seed=0)  # triples: a harmful, a matched and an unrelated benign request
few, held_out = train.sample(8, seed=0), test.sample(8, seed=0)

harmful = hc.elicit(model, few.harmful, max_new_tokens=24, temperature=0)
benign = hc.elicit(model, few.benign, max_new_tokens=24, temperature=0)
A, B = hc.attribute(model, harmful), hc.attribute(model, benign)  # positive: the component promotes the response
A.figure()

# %% [markdown]
# The heads as a heat map. Most of what promotes harmful text promotes benign text too. `select` takes the components of largest
# A and leaves out those that benign responses rest on: here half of the heads and a tenth of the neurons.

# %%
circuit = hc.select(A, protect=B, heads=8, neurons=138, protect_fraction={"heads": 0.5, "neurons": 0.1})
print(circuit)

# %% [markdown]
# What is lost without it, on responses to requests that nothing has touched? Loss increase ΔL; positive: the ablation hurts.

# %%
control = circuit.random_like(model, seed=0)
for name, prompts in (("harmful", held_out.harmful), ("matched benign", held_out.near_twins)):
    ablations = {"baseline": None, "circuit": circuit, "random": control}
    L = hc.sweep(model, ablations, hc.elicit(model, prompts, max_new_tokens=24, temperature=0)).mean()
    rise = L - L["baseline"]
    print(f"{name:15} ΔL {rise['circuit']:+.3f} without the circuit, {rise['random']:+.3f} without as many random components")

# %% [markdown]
# A circuit of harm hurts harmful text more than matched benign text, and more than random components do. On this small model it
# is not shown; on an aligned 1.5B model it is (docs/results.md).
#
# The circuit is a list of hooks for TransformerLens: it works wherever `fwd_hooks` do.

# %%
tokens = model.to_tokens("The capital of France is")
for name, hooks in (("with", []), ("without", circuit.hooks(model))):
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    print(f"{name:8} the circuit: {model.to_string(logits[0, -1].argmax())!r}")

# %% [markdown]
# Free generation with and without the circuit: does a continuation comply, refuse or turn away, or fall apart? Rules read it.
# The table shows no word of one; `comparison.side_by_side()` does.

# %%
comparison = hc.compare(model, circuit, held_out.harmful, max_new_tokens=24)
comparison

# %% [markdown]
# The whole experiment: generation and recognition of harm under the same ablation, beside controls, and one answer by rules
# that were fixed before. On a planted model, whose answer is known (*dissociated*), it takes seconds.

# %%
small = hc.Settings(
    components=("heads",), head_fractions=(0.1,), facts=0, passages=0, sampled=False, shots=0, random_draws=1,
    train_prompts=12, development_prompts=6, test_prompts=12, written_prompts=2, max_new_tokens=6, written_tokens=4,
)  # fmt: skip
planted = hc.organisms.planted(seed=0)
sets = dict(zip(("train", "development", "prompts"), planted.prompts.split(seed=0), strict=True))
result = hc.dissociate(planted.model, **sets, settings=small)
print(f"planted: dissociated; answer: {result.answer}", *result.sentences, sep="\n")
result.figure()

# %% [markdown]
# And where the same components write harmful and benign words, it says so.

# %%
entangled = hc.organisms.planted(seed=0, variant="entangled")
sets = dict(zip(("train", "development", "prompts"), entangled.prompts.split(seed=0), strict=True))
other = hc.dissociate(entangled.model, {"shared": entangled.shared}, **sets, settings=small)
print("planted: not selective; answer:", other.answer)

# %% [markdown]
# On a real model the same call takes minutes (`Settings.quick()`) to hours (`Settings()`); `folder=` lets a stopped run
# continue:
#
# ```python
# result = hc.dissociate(model, settings=hc.Settings.quick(), folder="out/mine", progress=True)
# result.answer, result.table(), result.figure()
# result.save("out/mine")  # report.html, report.json, circuits
# ```
