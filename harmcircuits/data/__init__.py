"""Prompts, examples, sets and files of them, batches, and responses.

- `examples`: requests and responses, the chat frame around them, and the rows of tokens that they become;
- `batching`: padded batches, the loss of responses, and batches halved when memory runs out;
- `prompt_set`: a set of prompts and its triples, tables and samples; `splits`: near-duplicates, and parts without common ones;
- `readers`: the built-in triples (`builtin/`) and the field's formats; `sources`: files, and benchmarks by name;
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
from .prompt_set import PromptSet, Triple
from .readers import BUILTIN, FORMATS, PREFILLS, load_prompts
from .splits import near_duplicate_groups, words
