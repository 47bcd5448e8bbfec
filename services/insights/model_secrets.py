"""What is secret about language models: the key of a server of chat completions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr, field_validator

from iops.contract import INSIGHTS_SECRETS
from iops.observability import Metrics
from iops.secret_document import SecretDocument
from iops.secrets import Secret, open_secret
from services.insights.settings import InsightsSettings


class ModelSecrets(SecretDocument):
    """The document `iops-dashboard/insights`."""

    openai_api_key: SecretStr | None = None

    @field_validator("openai_api_key")
    @classmethod
    def _a_header_can_carry_it(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value() if value is not None else "none"
        if not (secret and secret.isascii() and secret.isprintable()) or " " in secret:
            raise ValueError("it is empty, or has a space, a line break or another character that no header can carry")
        return value


@asynccontextmanager
async def open_model_secrets(
    settings: InsightsSettings, metrics: Metrics
) -> AsyncIterator[Secret[ModelSecrets] | None]:
    """None where no model needs a key of ours: nothing is read then. Raises SecretUnread."""
    if "openai" not in settings.explainers:
        yield None
        return
    async with open_secret(settings, INSIGHTS_SECRETS, ModelSecrets, metrics) as secrets:
        yield secrets
