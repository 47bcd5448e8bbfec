"""What runs in a task: one container that can change nothing but its memory, and knows names, never secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi

from infra.network import SERVICE_PORT

STOP_TIMEOUT_S: Final = 30  # a service drains within 8 s; below the 120 s that Spot leaves
USER: Final = "10001:10001"  # the image's own, said again so that another image cannot be root
LOG_BUFFER: Final = "4m"  # about 10,000 lines; beyond, lines are lost rather than requests held up


def container(
    name: str,
    *,
    image: pulumi.Input[str],
    environment: Mapping[str, pulumi.Input[str]],
    log_group: pulumi.Input[str],
    region: str,
    is_ipv6_only: bool,
) -> dict[str, Any]:
    """One entry of a task definition's container definitions, in ECS's own words."""
    host = "[::1]" if is_ipv6_only else "127.0.0.1"
    alive = f"http://{host}:{SERVICE_PORT}/health/live"
    return {
        "name": name,
        "image": image,
        "essential": True,
        "user": USER,
        "readonlyRootFilesystem": True,
        "privileged": False,
        "stopTimeout": STOP_TIMEOUT_S,
        # A first process that reaps and passes on SIGTERM, and no rights that a service has no use for.
        "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
        "portMappings": [{"containerPort": SERVICE_PORT, "hostPort": SERVICE_PORT, "protocol": "tcp"}],
        "environment": [{"name": key, "value": value} for key, value in sorted(environment.items())],
        # Alive, not ready: while the table is away, new tasks would be no better. Ready is the balancer's question.
        "healthCheck": {
            "command": ["CMD", "python", "-c", f"from urllib.request import urlopen; urlopen('{alive}', timeout=2)"],
            "interval": 30,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 60,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": name,
                "mode": "non-blocking",
                "max-buffer-size": LOG_BUFFER,
            },
        },
    }
