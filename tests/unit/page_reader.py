"""A page as a person reads it, and what a browser would do with it."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """`said` is its text in one line; `forms` are the forms that change something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.rows: list[str] = []
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.forms: list[str] = []
        self.data = ""  # for a script, which no browser runs
        self._is_data = False
        self.feed(html)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._is_data = named.get("type") == "application/json"
        if tag == "script" and not self._is_data:
            self.scripts.append(named.get("src"))
        if tag == "a":
            self.links.append(named.get("href") or "")
        if "data-row" in named:
            self.rows.append(named["data-row"] or "")
        if "data-deed" in named:
            self.forms.append(named.get("data-urls") or "")
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self.data += data
        else:
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_data = False

    def assert_runs_only_ours(self) -> None:
        assert not self.handlers, "the policy would stop them"
        assert all(source and source.startswith("/static/") for source in self.scripts)
