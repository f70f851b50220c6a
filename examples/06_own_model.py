"""A model of your own: wrap what you hold already, and put four questions to it before you believe any result.

Runs as a script (`python examples/06_own_model.py`, meant for less than 3 minutes on two cores) and cell by cell in an editor.
"""

# %% A model of transformers with its tokenizer. NAME is a hub id or a folder; while it is empty, the default model's weights
# stand in the place of yours, so that no hub is needed.
from dataclasses import replace

from transformers import AutoModelForCausalLM, AutoTokenizer

import harmcircuits as hc
from harmcircuits.judges import RulesJudge
from harmcircuits.models.plain import plain_model
from harmcircuits.statistics import mean_estimate
from harmcircuits.tasks.information import swapped_requests

NAME = ""
if NAME:
    mine, tokenizer = AutoModelForCausalLM.from_pretrained(NAME), AutoTokenizer.from_pretrained(NAME)
else:
    default = hc.load_model()
    mine, tokenizer = plain_model(default), default.tokenizer

# %% Wrapped, it has hook points; `hc.load_model(NAME)` does both steps. Or give any HookedTransformer or TransformerBridge that
# you hold: it works everywhere in the place of `model`.
model = hc.load_model("mine", hf_model=mine, tokenizer=tokenizer)
print(type(mine).__name__, "in a", type(model).__name__, "- chat template:", tokenizer.chat_template is not None)

# %% One: does it write what it is asked for? Shares by rules that read the surface, with and without the first words in its
# mouth. A model that refuses in spite of the prefill has circuits of refusing. No rule here says that a text is harmful.
few = hc.load_prompts().split(seed=0)[0].sample(10, seed=0)
how = {"max_new_tokens": 24, "temperature": 0}
harmful, near = hc.elicit(model, few.harmful, **how), hc.elicit(model, few.near_twins, **how)
bare = hc.elicit(model, [replace(prompt, prefill="") for prompt in few.harmful], **how)
texts = {"harmful": harmful, "near twins": near, "harmful, no prefill": bare}
for measures in ("compliance", "refusal", "degenerate"):
    for name, examples in texts.items():
        judged = RulesJudge(measures).read([one.request for one in examples], [one.response for one in examples])
        print(f"{measures:10} {name:20} {judged.rate()}")

# %% Two: does what it writes depend on the request? I = L under another request − L under its own, nats per token. Near 0,
# there is no writing of harm to be found, whatever the text looks like.
for name, examples in (("harmful", harmful), ("near twins", near)):
    information = hc.loss(model, swapped_requests(examples)) - hc.loss(model, examples)
    print(f"I of {name}: {mean_estimate(information)} nats per token")

# %% Three: would other requests give the same scores? Two halves of the examples are compared, again and again; `whole` is the
# reliability of all of them together.
A = hc.attribute(model, harmful)
reliability = A.split_half()
for kind in (reliability.heads, reliability.neurons):
    print(kind, "- examples for a reliability of 0.9:", kind.examples_needed(0.9))

# %% Four: do first-order scores order heads as their absence does? Some heads, measured one at a time (10 has more).
some = [(row.layer, row.index) for row in A.top(6, kind="heads")[["layer", "index"]].itertuples(index=False, name="Head")]
exact = hc.exact_attribution(model, harmful, heads=some)
for at in some:
    print(f"L{at[0]}H{at[1]}: first order {A.heads[at]:+.4f}, exact {exact.heads[at]:+.4f} nats per token")

# %% Hooks of your own stay while this package works, and see what it runs.
passes = []
own = ("blocks.0.hook_resid_pre", lambda residual, hook: passes.append(tuple(residual.shape)))
with model.hooks(fwd_hooks=[own]):
    hc.loss(model, harmful)
print(f"{len(passes)} passes seen, [batch, position, d_model] of the first:", passes[0])
