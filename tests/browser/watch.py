"""What a browser complains of while somebody uses a page, and the page does not show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Request, WebError

# What the policy forbids is reported to the page itself first: a report that nobody reads is one nobody sees.
REPORT_VIOLATIONS: Final = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.effectiveDirective} refused ${event.blockedURI} at ${event.sourceFile}`));"""
LEFT: Final = "net::ERR_ABORTED"  # the page was left, and its requests with it


@dataclass  # without slots: Playwright keeps its wrappers in the objects that listen
class Watch:
    """Errors and warnings of the console, uncaught errors, refusals by policy, requests that failed, and `alert()`."""

    complaints: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def attach(self, context: BrowserContext) -> None:
        """Listen to all its pages."""
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._hear_console)
        context.on("weberror", self._hear_error)
        context.on("requestfailed", self._hear_failure)
        context.on("dialog", self._hear_dialog)

    def expect(self, pattern: str) -> None:
        """A test that breaks something says what a browser will say of it."""
        self.expected.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        """What nobody said would come."""
        return [said for said in self.complaints if not any(pattern.search(said) for pattern in self.expected)]

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _hear_error(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")

    def _hear_failure(self, request: Request) -> None:
        if request.failure != LEFT:
            self.complaints.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _hear_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()
