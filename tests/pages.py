"""What a browser would make of a page, read with the standard library's parser."""

from html.parser import HTMLParser

__all__ = ["Page"]

VOID = {"meta", "link", "img", "path", "br"}


class Page(HTMLParser):
    """Tags, attributes, texts and headings of a page; unbalanced tags are an error."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode())
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag in ("td", "th", "dt", "dd", "small"):
            self.text += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings[-1] += data

    def assert_harmless(self) -> None:
        """Nothing that runs, and nothing that is fetched."""
        assert not self.tags & {"script", "iframe", "object", "embed", "form", "base", "audio", "video"}
        for tag, name, value in self.attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "data", "action", "xlink:href"):
                assert value.startswith("data:"), (tag, value)
