"""`iops login`, `iops logout` and `iops open` before a server double and a browser that only writes down."""

from __future__ import annotations

import json
import stat
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import login_store
from cli.login import Surroundings, login, logout, open_dashboard
from cli.outcome import Outcome, Refused, Unreachable

HERE = "http://127.0.0.1:8080"
BEGUN = {
    "device_code": "BCDFGHJK.secret",
    "user_code": "BCDF-GHJK",
    "verification_url": f"{HERE}/session/device",
    "expires_in": 600,
    "interval": 5,
}
KEY = {"key": "iops_new", "expires_at": "2026-11-23T14:00:00Z"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.credentials.CLONE", tmp_path / "clone")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def problem(code: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"})


class Scene:
    """A server that answers in order, a clock that only a sleep moves, a browser that opens nothing."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked = deque(answers), list[httpx.Request]()
        self.slept_s: list[float] = []
        self.opened: list[str] = []
        self.has_browser = True
        self.around = Surroundings(httpx.MockTransport(self._answer), self._sleep, self._open)

    async def login(self, *, opens: bool = True) -> Outcome:
        return await login(HERE, name="laptop", opens=opens, around=self.around)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    def _open(self, url: str) -> bool:
        self.opened.append(url)
        return self.has_browser


def begun(**fields: Any) -> httpx.Response:
    return httpx.Response(200, json=BEGUN | fields)


async def test_a_login_shows_the_code_waits_and_keeps_the_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(begun(), problem("authorization_pending", 428), httpx.Response(200, json=KEY))

    assert await scene.login() == Outcome.OK
    assert f"Open {HERE}/session/device and type the code BCDF-GHJK" in capsys.readouterr().out
    assert scene.opened == [f"{HERE}/session/device"]
    assert scene.slept_s == [5.0, 5.0]
    path = home / "config" / "iops" / "credentials.json"
    assert json.loads(path.read_text()) == {HERE: "iops_new"}
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


async def test_a_login_without_a_browser_opens_none() -> None:
    scene = Scene(begun(), httpx.Response(200, json=KEY))
    await scene.login(opens=False)

    assert scene.opened == []


async def test_a_login_comes_without_the_key_that_is_kept() -> None:
    login_store.keep(HERE, "iops_old")
    scene = Scene(begun(), httpx.Response(200, json=KEY))
    await scene.login()

    assert all("x-api-key" not in request.headers for request in scene.asked)
    assert login_store.kept(HERE) == "iops_new"


async def test_a_login_slows_down_when_it_is_told_to_or_nobody_answers() -> None:
    away = httpx.ConnectError("away")
    pending = problem("authorization_pending", 428)
    scene = Scene(begun(), problem("slow_down", 429), away, pending, httpx.Response(200, json=KEY))
    await scene.login()

    assert scene.slept_s == [5.0, 10.0, 15.0, 15.0]


async def test_a_login_gives_up_when_its_code_is_over() -> None:
    scene = Scene(begun(), problem("authorization_pending", 428))
    with pytest.raises(Refused, match="nobody approved it in time"):
        await scene.login()

    assert sum(scene.slept_s) == 600


@pytest.mark.parametrize("code", ["expired_token", "invalid_input", "internal"])
async def test_a_login_ends_with_what_the_server_says_for_good(code: str) -> None:
    with pytest.raises(Refused, match=f"it is {code}"):
        await Scene(begun(), problem(code)).login()
    assert login_store.kept(HERE) is None


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "javascript:alert(1)", "--help", "http://", None, 5], ids=repr
)
async def test_a_browser_opens_pages_only(address: object) -> None:
    scene = Scene(begun(verification_url=address))
    with pytest.raises(Refused, match="named no page"):
        await scene.login()

    assert scene.opened == []


async def test_a_server_cannot_make_a_login_ask_at_once_or_for_ever() -> None:
    scene = Scene(begun(interval=0, expires_in=1e12), problem("authorization_pending", 428))
    with pytest.raises(Refused):
        await scene.login()

    assert (min(scene.slept_s), sum(scene.slept_s)) == (1.0, 900.0)


async def test_a_logout_revokes_the_key_and_forgets_it() -> None:
    login_store.keep(HERE, "iops_mine")
    login_store.keep("https://iops.example.com", "iops_other")
    scene = Scene(httpx.Response(200, json={"revoked": True}))
    await logout(HERE, transport=scene.around.transport)

    (request,) = scene.asked
    assert (request.method, request.url.path, request.headers["x-api-key"]) == ("DELETE", "/session", "iops_mine")
    assert login_store.kept(HERE) is None
    assert login_store.kept("https://iops.example.com") == "iops_other"


async def test_a_key_that_has_ended_by_itself_is_forgotten() -> None:
    login_store.keep(HERE, "iops_mine")
    await logout(HERE, transport=Scene(problem("unauthenticated", 401)).around.transport)

    assert login_store.kept(HERE) is None


async def test_a_key_that_could_not_be_revoked_is_kept() -> None:
    login_store.keep(HERE, "iops_mine")
    with pytest.raises(Unreachable):
        await logout(HERE, transport=Scene(httpx.ConnectError("away")).around.transport)

    assert login_store.kept(HERE) == "iops_mine"


async def test_who_is_not_signed_in_is_told_so() -> None:
    with pytest.raises(Refused, match="nobody is signed in"):
        await logout(HERE, transport=None)


async def test_a_file_that_others_can_read_is_not_used(home: Path) -> None:
    login_store.keep(HERE, "iops_mine")
    (home / "config" / "iops" / "credentials.json").chmod(0o644)

    with pytest.raises(Refused, match="chmod 600"):
        login_store.kept(HERE)
    with pytest.raises(Refused, match="chmod 600"):
        login_store.keep(HERE, "iops_next")


async def test_opening_asks_for_a_link_with_the_key_and_opens_it(capsys: pytest.CaptureFixture[str]) -> None:
    login_store.keep(HERE, "iops_mine")
    link = f"{HERE}/session/link#c0de"
    scene = Scene(httpx.Response(201, json={"url": link}))
    await open_dashboard(HERE, prints=False, around=scene.around)

    assert scene.asked[0].headers["x-api-key"] == "iops_mine"
    assert scene.opened == [link]
    assert "c0de" not in capsys.readouterr().out

    await open_dashboard(HERE, prints=True, around=scene.around)
    assert capsys.readouterr().out == f"{link}\n"
    assert scene.opened == [link]


async def test_without_a_browser_opening_says_how_to_print() -> None:
    scene = Scene(httpx.Response(201, json={"url": f"{HERE}/session/link#c0de"}))
    scene.has_browser = False

    with pytest.raises(Refused, match="--print"):
        await open_dashboard(HERE, prints=False, around=scene.around)
