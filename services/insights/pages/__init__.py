"""What people see in a browser: pages that are whole without a script, and that a script keeps new."""

from typing import Final

from services.insights.pages import alerts, assets, fleet, insight, stream, system

ROUTERS: Final = (assets.router, fleet.router, stream.router, alerts.router, insight.router, system.router)
