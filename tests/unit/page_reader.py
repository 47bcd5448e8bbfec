"""A page as a person reads it, and what a browser would do with it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

VOID: Final = {"meta", "link", "input", "br", "option", "path"}


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
        self.feed(html)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "script":
            self.scripts.append(named.get("src"))
        if tag == "a":
            self.links.append(named.get("href") or "")
        if "data-row" in named:
            self.rows.append(named["data-row"] or "")
        if "data-deed" in named:
            self.forms.append(named.get("data-urls") or "")
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def assert_runs_only_ours(self) -> None:
        assert not self.handlers, "the policy would stop them"
        assert all(source and source.startswith("/static/") for source in self.scripts)
