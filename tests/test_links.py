"""What `make links` takes for an external link, and what it says of the answers; nothing is fetched here."""

from pathlib import Path

import links
import pytest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](https://x.org/a) and [b](page.md)", ["https://x.org/a"]),
        ('![a](https://x.org/a.png "title")', ["https://x.org/a.png"]),
        ("see <https://x.org/a>, or https://x.org/b.", ["https://x.org/a", "https://x.org/b"]),
        ("(https://x.org/a_(b)) [c]: http://x.org/c?d=e&f", ["https://x.org/a_(b)", "http://x.org/c?d=e&f"]),
        ("[a](https://x.org/a#part)", ["https://x.org/a"]),
        ("`https://x.org`\n```sh\ncurl https://y.org\n```\nnone, mailto:a@x.org", []),
        ('<a href="https://x.org/a">a</a>', ["https://x.org/a"]),
    ],
)
def test_links_of_a_text(text: str, found: list[str]) -> None:
    assert [address for _, address in links.links(text)] == found


def test_a_link_is_found_by_its_line_below_code_too(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\nhttps://no.org\n```\n\nhttps://x.org and\nhttps://x.org", "utf-8")
    assert links.places([page]) == {"https://x.org": [f"{page}:5", f"{page}:6"]}


def test_the_pages_own_links_are_found() -> None:
    found = links.places()
    where = found["https://github.com/TransformerLensOrg/TransformerLens"]
    assert any(place.startswith("README.md:") for place in where)
    assert all(address.startswith(("https://", "http://")) and address.isascii() for address in found)


def asking(answers: dict[str, list[int | str]], asked: list[str]) -> links.Ask:
    """Gives an address's answers one after the other, the last for ever; a word is a failure to connect."""

    def ask(address: str, method: str) -> int:
        asked.append(f"{method} {address}")
        answer = answers[address].pop(0) if len(answers[address]) > 1 else answers[address][0]
        if isinstance(answer, str):
            raise OSError(answer)
        return answer

    return ask


@pytest.mark.parametrize(
    ("answers", "told", "calls"),
    [
        ([200], "", 1),
        ([405, 200], "", 2),
        ([404], "status 404", 2),
        ([403], "refused (403)", 2),
        (["no route", 200], "", 2),
        (["no route"], "no answer: no route", 3),
        ([503, 503, 200], "", 3),
        ([429], "refused (429)", 6),
    ],
)
def test_answers(answers: list[int | str], told: str, calls: int) -> None:
    asked: list[str] = []
    assert links.answered("https://x.org", asking=asking({"https://x.org": answers}, asked), pause=0) == told
    assert len(asked) == calls and asked[0] == "HEAD https://x.org"


def test_a_broken_link_fails_and_is_named_with_its_place() -> None:
    answers: dict[str, list[int | str]] = {"https://a.org": [403], "https://b.org": [200], "https://c.org": [404]}
    found = {address: ["docs/a.md:3"] for address in answers}
    lines, whole = links.report(found, asking=asking(answers, []), pause=0)
    assert not whole and lines[2] == "status 404\thttps://c.org\tdocs/a.md:3"
    del found["https://c.org"]
    assert links.report(found, asking=asking(answers, []), pause=0)[1], "one that refuses programs is not broken"
