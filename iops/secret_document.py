"""What secrets look like: documents that never show a value."""

from pydantic import BaseModel, ConfigDict


class SecretDocument(BaseModel):
    """A document, or a part of one. What is secret in it is a SecretStr; the logs learn to hide those."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
