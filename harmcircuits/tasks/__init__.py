"""What a model does: each task turns a model into one outcome a prompt."""
