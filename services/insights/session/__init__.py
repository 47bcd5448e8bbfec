"""How people come in with a browser, and how their machines get a key of their own."""

from typing import Final

from services.insights.session import device, link, sign_in

ROUTERS: Final = (sign_in.router, link.router, device.router)
