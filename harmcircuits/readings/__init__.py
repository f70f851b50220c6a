"""Readings: what is measured under each condition. One reading a file, all with the same method `read(model, condition)`."""
