"""The mocks that infra is run under; `iops cost` prices what they record, so they stand in infra."""

from infra.declared import ACCOUNT, REGION, ZONES, Declared, PlainMocks, Stack, declare, declare_all

__all__ = ["ACCOUNT", "REGION", "ZONES", "Declared", "PlainMocks", "Stack", "declare", "declare_all"]
