"""Export a model without its circuit, and read it with plain transformers code: the same numbers as under the ablation.

Runs as a script (`python examples/05_export_reload.py`, meant for less than 3 minutes on two cores) and cell by cell in
an editor.
"""

# %% The model, a circuit, and responses that the baseline writes to held-out triples.
import shutil
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

import harmcircuits as hc

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few, triples = train.sample(8, seed=0), test.sample(6, seed=0)
A, B = (hc.attribute(model, hc.elicit(model, own, max_new_tokens=24, temperature=0)) for own in (few.harmful, few.benign))
circuit = hc.select(A, protect=B, heads=8, neurons=138, protect_fraction={"heads": 0.5, "neurons": 0.1})
twins = [prompt for prompt in triples if prompt.role != "far"]
examples = hc.elicit(model, twins, max_new_tokens=24)

# %% With this package: L under the ablation, nats per token, and what is written then.
with hc.ablated(model, circuit):
    ours = hc.loss(model, examples)
written = [one.response_ids for one in hc.generate(model, twins, circuit, max_new_tokens=24, temperature=0)]
print(f"L {hc.loss(model, examples).mean():.4f} nats per token; without the circuit {ours.mean():.4f}")

# %% Export: a plain transformers folder with a model card. It must be a new one.
out = Path("out/example-05")
shutil.rmtree(out / "pruned", ignore_errors=True)
folder = hc.export(model, circuit, out / "pruned")
print(*sorted(path.name for path in folder.iterdir()), sep="\n")

# %% Reload, here and anywhere: from here on nothing but transformers reads the model.
again = hc.load_model(folder)
print(f"largest difference of L: {(hc.loss(again, examples) - ours).abs().max():.1e} nats per token")
plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)


def asked(prompt: hc.Prompt | hc.Example) -> list[int]:
    chat = [{"role": "user", "content": prompt.request}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return [token for part in (text, prompt.prefill) for token in tokenizer(part, add_special_tokens=False).input_ids]


# %% The same losses, one row at a time, and what it writes by itself, greedy.
theirs, rewritten = [], []
for prompt, example in zip(twins, examples, strict=True):
    start, response = asked(prompt), list(example.response_ids)
    with torch.no_grad():
        logits = plain(torch.tensor([start + response])).logits[0, len(start) - 1 : -1]
    theirs.append(float(cross_entropy(logits, torch.tensor(response))))
    tokens = torch.tensor([start])
    whole = plain.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=24, do_sample=False)
    rewritten.append(tuple(whole[0, len(start) :].tolist()))

# %% Equal, but for the order in which numbers are summed.
difference = (torch.tensor(theirs) - ours).abs().max()
print(f"L: mean {ours.mean():.4f} and {sum(theirs) / len(theirs):.4f} nats per token, largest difference {difference:.1e}")
assert difference < 1e-3
equal = sum(one == other for one, other in zip(written, rewritten, strict=True))
print(f"greedy responses of 24 tokens: {equal} of {len(twins)} equal")
