"""Prompts, examples, sets and files of them, batches, and responses.

- `examples`: requests and responses, the chat frame around them, and the rows of tokens that they become;
- `batching`: padded batches, the loss of responses, and batches halved when memory runs out;
- `prompt_set`: a set of prompts and its triples, tables, samples and splits;
- `readers`: the built-in triples (`builtin/`), the field's benchmark files, and `benchmarks` by name;
- `elicit`: the responses that the model under study writes.
"""

from .batching import (
    Batch,
    BatchError,
    OutOfMemory,
    batched,
    loss,
    make_batch,
    map_batches,
    response_loss,
    row_losses,
    token_nll,
    try_batch,
)
from .examples import (
    Example,
    ExampleError,
    Frame,
    Prompt,
    PromptError,
    Role,
    Row,
    chat_frame,
    chat_text,
    check_context,
    encode,
    example_rows,
    pieces,
    prompt_ids,
    response_ids,
    start_ids,
)
from .formats import FORMATS
from .prompt_set import PromptSet, Triple
from .readers import BUILTIN, PREFILLS, load_prompts
from .splits import near_duplicate_groups, words

__all__ = [
    "BUILTIN",
    "FORMATS",
    "PREFILLS",
    "Batch",
    "BatchError",
    "Example",
    "ExampleError",
    "Frame",
    "OutOfMemory",
    "Prompt",
    "PromptError",
    "PromptSet",
    "Role",
    "Row",
    "Triple",
    "batched",
    "chat_frame",
    "chat_text",
    "check_context",
    "encode",
    "example_rows",
    "load_prompts",
    "loss",
    "make_batch",
    "map_batches",
    "near_duplicate_groups",
    "pieces",
    "prompt_ids",
    "response_ids",
    "response_loss",
    "row_losses",
    "start_ids",
    "token_nll",
    "try_batch",
    "words",
]
