"""A page, parsed."""

import html.parser
import re


class Page(html.parser.HTMLParser):
    """A page as elements with their attributes and text."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag == name]

    def words(self, *, inside: str = "body") -> str:
        parts = [text for path, text in self.texts if inside in path and not {"script", "style"} & set(path)]
        return re.sub(r"\s+", " ", "".join(parts))

    def scripts(self) -> list[str]:
        return [text for path, text in self.texts if path[-1:] == ("script",)]
