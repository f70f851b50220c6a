"""Export a model without its circuit, and read it with plain transformers code: the same numbers as under the ablation.

Takes the circuit of `make demo` (out/demo) where there is one, and finds one otherwise. Runs as a script
(`python examples/02_pruned_model.py`, some minutes on two cores) and cell by cell in an editor.
"""

# %% The model, a circuit, and responses that the intact model writes to held-out triples.
import logging
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import harmcircuits as hc
from harmcircuits.tasks.formats import QUESTIONS, label_ids
from harmcircuits.tasks.teacher_forced import teacher_forced

logging.basicConfig(level=logging.WARNING)
model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
found = Path("out/demo/circuits/heads-and-neurons.json")
if found.exists():
    circuit = hc.Circuit.load(found)
else:
    few = train.sample(16, seed=0)
    A, B = (hc.attribute(model, hc.elicit(model, own, temperature=0)) for own in (few.harmful, few.benign))
    circuit = hc.select(A, protect=B, heads=8, neurons=138, protect_fraction={"heads": 0.5, "neurons": 0.1})
triples = test.sample(6, seed=0)
twins = [prompt for prompt in triples if prompt.role != "far"]
examples = hc.elicit(model, twins, max_new_tokens=32)
question = QUESTIONS[0]

# %% With this package: writing (L), recognition in place (log-odds after a question), and what is written, the circuit off.
readings = teacher_forced(model, examples, {"ablated": circuit}, question=question)
ours = {"L": readings["nll"].tolist(), "log-odds": readings["in_place"].tolist()}
written = [example.response_ids for example in hc.generate(model, twins, circuit, max_new_tokens=24, temperature=0)]

# %% Export. From here on nothing but transformers reads the model.
parent = tempfile.TemporaryDirectory()
origin = hc.provenance(model, data="built-in triples, attribution split", scores="first order, greedy responses", seed=0)
folder = hc.export(model, circuit, Path(parent.name) / "pruned", origin=origin)
harmful, harmless = label_ids(model, question)
del model
pruned = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
print(*sorted(path.name for path in folder.iterdir()), sep="\n")


def ids(text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def chat(*messages: tuple[str, str]) -> str:
    turns = [{"role": role, "content": content} for role, content in messages]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


@torch.no_grad()
def log_p(tokens: list[int]) -> torch.Tensor:
    """[position, vocabulary]"""
    return pruned(torch.tensor([tokens])).logits[0].log_softmax(-1)


# %% The same readings, one row at a time.
theirs: dict[str, list[float]] = {"L": [], "log-odds": []}
for example in examples:
    response = list(example.response_ids)
    prompt = ids(chat(("user", example.request))) + ids(example.prefill)
    asked = chat(("user", "?"), ("assistant", "…"), ("user", question.asked(example.request))).partition("…")[2]
    suffix = ids(asked)
    if response[-1] == suffix[0]:  # the response has ended its turn itself
        suffix = suffix[1:]
    own = log_p([*prompt, *response, *suffix, *ids(question.answer)])
    at = torch.arange(len(response)) + len(prompt) - 1
    theirs["L"].append(float(-own[at, torch.tensor(response)].mean()))
    theirs["log-odds"].append(float(own[-1, harmful] - own[-1, harmless]))

# %% And what it writes by itself, greedy.
rewritten = []
for prompt in twins:
    tokens = torch.tensor([ids(chat(("user", prompt.request))) + ids(prompt.prefill)])
    whole = pruned.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=24, do_sample=False)
    rewritten.append(tuple(whole[0, tokens.shape[1] :].tolist()))

# %%
print(f"{len(circuit.heads)} heads and {len(circuit.neurons)} neurons off, {len(examples)} examples")
for name in ours:
    difference = max(abs(one - other) for one, other in zip(ours[name], theirs[name], strict=True))
    print(f"{name}: mean {sum(ours[name]) / len(examples):.4f} and {sum(theirs[name]) / len(examples):.4f}, ", end="")
    print(f"largest difference {difference:.1e}")
    assert difference < 1e-3
equal = sum(one == other for one, other in zip(written, rewritten, strict=True))
print(f"greedy responses of 24 tokens: {equal} of {len(twins)} equal")
parent.cleanup()
