"""What goes wrong with prompts."""


class PromptError(ValueError):
    """A file of prompts that cannot be read, or a set too small for what is asked. Never quotes a request."""
