"""Every setting of every program as a document; `make settings` writes what changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import to_json
from pydantic_settings import BaseSettings

from agent.settings import AgentSettings
from cli.settings import CliSettings
from iops.settings import ServiceSettings
from services.alerts.settings import AlertsSettings
from services.ingest.settings import IngestSettings
from services.insights.settings import InsightsSettings

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "settings.md"
REPOSITORY: Final = Path(__file__).parents[1]
PROGRAMS: Final[Mapping[str, type[BaseSettings]]] = {
    "The three services": ServiceSettings,
    "ingest": IngestSettings,
    "insights": InsightsSettings,
    "alerts": AlertsSettings,
    "The agent": AgentSettings,
    "The iops command": CliSettings,
}
HEAD: Final = """# Settings
Environment variables, read once at start; what is wrong with one is said and the program does not start. What rotates
(secrets) and what operators change (flags) is no setting: see [security.md](security.md), [insights.md](insights.md).
`make settings` writes this page.
"""


def own_fields(program: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Those that no base has."""
    inherited = ServiceSettings.model_fields if program is not ServiceSettings else {}
    return {name: field for name, field in program.model_fields.items() if name not in inherited}


def document() -> str:
    """The page."""
    parts = [HEAD]
    for title, program in PROGRAMS.items():
        rows = [_row(name, field) for name, field in own_fields(program).items()]
        parts.append(
            f"## {title}\n| variable | default | what it says |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    what = (field.description or "").replace("|", "\\|")
    return f"| `IOPS_{name.upper()}` | {_shown(field)} | {what} |"


def _shown(field: FieldInfo) -> str:
    default: Any = field.default
    if field.default_factory is not None:
        return "of this machine"
    if default is None or default == () or default == frozenset() or default == {}:
        return "none"
    if isinstance(default, Path) and default.is_relative_to(REPOSITORY):
        default = default.relative_to(REPOSITORY)
    return f"`{default}`" if isinstance(default, str | Path) else f"`{to_json(default).decode()}`"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
