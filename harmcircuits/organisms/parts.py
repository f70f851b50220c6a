"""What is known of a planted model: which components do what."""

from dataclasses import dataclass

from ..components import Circuit


@dataclass(frozen=True)
class Parts:
    """The truth: components that write harm, that recognise it, that serve both and kind text, and that hold harm back."""

    writing: Circuit
    recognising: Circuit
    shared: Circuit
    suppressing: Circuit
