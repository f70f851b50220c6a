"""Switching components off, and on again."""
