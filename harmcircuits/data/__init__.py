"""Prompts, examples, sets and files of them, batches, and responses."""

from .batching import Batch, batched, loss, make_batch, map_batches, response_loss, row_losses
from .examples import Example, Prompt, Prompts, Role, Row, as_prompts, chat_frame, encode, example_rows, start_ids
from .prompt_set import PromptSet
from .readers import BUILTIN, FORMATS, PREFILLS, load_prompts
from .splits import near_duplicate_groups, words
