"""Prompts, examples, and the loss of their responses."""

from .batches import Batch as Batch
from .batches import batched as batched
from .batches import loss as loss
from .batches import make_batch as make_batch
from .batches import response_loss as response_loss
from .batches import row_losses as row_losses
from .batches import token_nll as token_nll
from .texts import Example as Example
from .texts import ExampleError as ExampleError
from .texts import Frame as Frame
from .texts import Prompt as Prompt
from .texts import Role as Role
from .texts import Row as Row
from .texts import chat_frame as chat_frame
from .texts import chat_text as chat_text
from .texts import check_context as check_context
from .texts import encode as encode
from .texts import example_rows as example_rows
from .texts import prompt_ids as prompt_ids
from .texts import response_ids as response_ids
from .texts import row_length as row_length
from .texts import start_ids as start_ids
from .tokens import pieces as pieces
