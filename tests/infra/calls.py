"""What each service asks of AWS, read from its source: the calls of clients, in all modules that it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = "iops.table"
QUEUE: Final = "iops.bus"

# Methods of botocore's clients -> the actions that IAM checks for them. Nothing else is called; a test says so.
ACTIONS: Final[Mapping[str, str]] = {
    "batch_write_item": "dynamodb:BatchWriteItem",
    "delete_item": "dynamodb:DeleteItem",
    "describe_table": "dynamodb:DescribeTable",
    "get_item": "dynamodb:GetItem",
    "put_item": "dynamodb:PutItem",
    "query": "dynamodb:Query",
    "update_item": "dynamodb:UpdateItem",
    "change_message_visibility": "sqs:ChangeMessageVisibility",
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "delete_message": "sqs:DeleteMessage",
    "delete_message_batch": "sqs:DeleteMessage",
    "get_queue_attributes": "sqs:GetQueueAttributes",
    "get_queue_url": "sqs:GetQueueUrl",
    "receive_message": "sqs:ReceiveMessage",
    "send_message": "sqs:SendMessage",
    "send_message_batch": "sqs:SendMessage",
    "converse": "bedrock:InvokeModel",
    "get_parameter": "ssm:GetParameter",
    "get_parameter_history": "ssm:GetParameterHistory",
    "get_secret_value": "secretsmanager:GetSecretValue",
    "invoke_endpoint": "sagemaker:InvokeEndpoint",
    "publish": "sns:Publish",
    "put_events": "events:PutEvents",
}
# A transaction needs what its parts need; TransactWriteItems is no action of its own.
PARTS: Final[Mapping[str, str]] = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
TRANSACTIONS: Final = "transact_write_items"
CLIENTS: Final = frozenset({"_client", "_dynamo", "client", "_sqs", "_sns", "sqs", "sns"})
# Our own classes in front of clients: whose methods count only where somebody calls them.
FRONTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    TABLE: {
        "put_all": ("dynamodb:BatchWriteItem",),
        "put": ("dynamodb:PutItem",),
        "update": ("dynamodb:UpdateItem",),
        "delete": ("dynamodb:DeleteItem",),
        "transact": (),
        "get": ("dynamodb:GetItem",),
        "get_readable": ("dynamodb:GetItem",),
        "get_own": ("dynamodb:GetItem",),
        "query_page": ("dynamodb:Query",),
        "query": ("dynamodb:Query",),
        "pages": ("dynamodb:Query",),
        "list_page": ("dynamodb:Query",),
        "check": ("dynamodb:DescribeTable",),
    },
    QUEUE: {
        "send": ("sqs:SendMessage",),
        "receive": ("sqs:ReceiveMessage",),
        "delete": ("sqs:DeleteMessage",),
        "postpone": ("sqs:ChangeMessageVisibility",),
        "bury": ("sqs:SendMessage", "sqs:DeleteMessage"),
        "put": ("events:PutEvents",),
    },
}
HOLDERS: Final = {"table": TABLE, "queue": QUEUE, "bus": QUEUE, "eventbus": QUEUE}  # by how a variable's name ends
OPENED: Final = {"open_scoring_queue": "sqs:GetQueueUrl"}  # what opening asks


def actions_of(service: str) -> set[str]:
    """Every action that some code of the service can ask for."""
    found: set[str] = set()
    for module in closure(f"services.{service}"):
        if module not in FRONTS:
            found |= set(_actions_in(tree_of(module)))
    return found


def closure(package: str) -> set[str]:
    """The service's modules, and those of ours that they import, however deep."""
    found: set[str] = set()
    waiting = [name for name in modules() if name == package or name.startswith(f"{package}.")]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [name for name in _imports(tree_of(module)) if name in modules()]
    return found


def client_methods() -> set[str]:
    """What is called of any client, in services and in what they stand on."""
    return {
        call.attr
        for module in modules()
        for call in _calls(tree_of(module))
        if _last_name(call.value) in CLIENTS and (call.attr in ACTIONS or "_" in call.attr)
    }


@cache
def modules() -> Mapping[str, Path]:
    """Of services/ and iops/, by name."""
    paths = [path for folder in ("iops", "services") for path in (ROOT / folder).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


def _actions_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
            yield from (PARTS[key] for key in keys if isinstance(key, str) and key in PARTS)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OPENED:
            yield OPENED[node.func.id]
    for call in _calls(tree):
        holder = _last_name(call.value)
        if holder in CLIENTS and call.attr in ACTIONS:
            yield ACTIONS[call.attr]
        front = next((front for end, front in HOLDERS.items() if holder.endswith(end)), None)
        if front is not None:
            yield from FRONTS[front].get(call.attr, ())


def _calls(tree: ast.Module) -> Iterator[ast.Attribute]:
    """Methods, called here or handed on to be called."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def _last_name(node: ast.expr) -> str:
    """Of `self._table` it is `_table`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
