"""One HTML page of a result: see `page`."""

from .page import Section, page

__all__ = ["Section", "page"]
