"""The few pages of signing in: plain HTML without a script of their own, every word of a stranger escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse

from iops.errors import IopsError, Unavailable
from iops.problems import ERROR_RESPONSE, error_responses
from services.insights.pages import assets

LINK_SCRIPT: Final = Path(__file__).with_name("link.js").read_text()

# Under `no-referrer` a browser says `Origin: null` of a form, and a form without our origin is refused.
HEADERS: Final = {"Referrer-Policy": "same-origin"}

PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<link rel="icon" href="{icon}" type="image/svg+xml"><link rel="stylesheet" href="{style}"></head>
<body><main><h1>{title}</h1>
{body}
</main></body>
</html>
"""

LINK: Final = """<p id="said">One moment.</p>
<noscript><p>This page needs JavaScript to sign this browser in.</p></noscript>
<script src="/session/link.js" defer></script>"""

NO_DIRECTORY: Final = """<p>Nobody signs in with a password here. Where this runs, type in a terminal</p>
<pre><code>iops open --url {url}</code></pre>
<p>and a browser opens that is signed in as you for 12 hours. From another machine: <code>iops login --url {url}</code>
first, for which somebody who is signed in types a code.</p>
<p>Then <a href="{next}">go on</a> here.</p>"""

CODE_FORM: Final = """<p>Type the code that the machine shows, only if you started this yourself.</p>
<form method="post" action="/session/device/look">
<label>Code <input name="code" autocomplete="off" autocapitalize="characters" maxlength="16" required autofocus></label>
<button>Go on</button>
</form>"""

APPROVE_FORM: Final = """<p><strong>{label}</strong>, from the address {address}, asks for a key.
For {hours} hours it could do what you can: as {role}, on the streams {streams}.</p>
<p>Go on only if you started this yourself, on that machine.</p>
<form method="post" action="/session/device/approve">
<input type="hidden" name="code" value="{code}">
<button>Approve it</button>
</form>"""


def page(title: str, template: str, *, status: int = 200, **texts: str) -> HTMLResponse:
    """A page; the texts are escaped."""
    body = template.format(**{name: escape(text) for name, text in texts.items()})
    links = {"icon": assets.url_of("icon.svg"), "style": assets.url_of("style.css")}
    return HTMLResponse(PAGE.format(title=escape(title), body=body, **links), status, HEADERS)


def error_page(error: IopsError) -> HTMLResponse:
    """An expected failure for a person: its sentence, and the way back."""
    answer = page(error.title, "<p>{detail}</p>", status=error.status, detail=error.detail)
    if isinstance(error, Unavailable):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def page_errors(*errors: type[IopsError]) -> dict[int | str, dict[str, Any]]:
    """What a page's OpenAPI says of its errors: they are pages, or problems where it did not come to the page."""
    said = {**error_responses(*errors), "default": ERROR_RESPONSE}
    return {status: {**each, "content": {**each["content"], "text/html": {}}} for status, each in said.items()}
