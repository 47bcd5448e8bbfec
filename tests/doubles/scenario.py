"""What a Bedrock that is not well answers, call by call: each step turns one request into one reply."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

ERROR_TYPES: Final = "http://internal.amazon.com/coral/com.amazon.bedrock/"  # the tail of a real x-amzn-errortype
LONG_TEXT: Final = ("The disk is slow and its peers are not. " * 1_024)[:40_960]
MARKUP: Final = '<script>alert("risk")</script><img src=x onerror=alert(1)>[click](javascript:alert(1))'
EVIDENCE: Final = re.compile(r"<evidence>\n(.*?)\n</evidence>", re.DOTALL)
WORDS: Final[Mapping[str, Any]] = {
    "prediction_type": "latency_spike",
    "risk_score": 75,
    "explanation": "Requests take longer than they usually do on this disk, while its peers are as fast as ever.",
    "recommendations": ["Compare the disk with its peers.", "Move the workload if it does not recover by itself."],
    "confidence": 0.8,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Converse, as it came in."""

    model_id: str  # with its region prefix
    body: Mapping[str, Any]
    headers: Mapping[str, str]  # names in lower case

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def tool_config(self) -> Mapping[str, Any]:
        return dict(self.body.get("toolConfig", {}))

    @property
    def inference_config(self) -> Mapping[str, Any]:
        return dict(self.body.get("inferenceConfig", {}))

    @property
    def user_text(self) -> str:
        """All that the user's side of the conversation says."""
        blocks = [block for message in self.messages if message["role"] == "user" for block in message["content"]]
        return "\n".join(block["text"] for block in blocks if "text" in block)

    @property
    def tool_name(self) -> str:
        """The first tool it was offered."""
        tools = self.tool_config.get("tools", [])
        return str(tools[0]["toolSpec"]["name"]) if tools else "nothing_offered"


class Delivery(StrEnum):
    """How a reply travels."""

    WHOLE = "whole"
    NEVER = "never"  # nothing comes until the caller leaves
    CUT = "cut"  # half of the body, then the connection is gone
    DRIP = "drip"  # in small pieces with a pause between any two


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    pieces: int = 20  # of a drip
    pause_s: float = 0.0  # before the first byte, and between the pieces of a drip


Step = Callable[[Call], Reply]


class Scenario:
    """The steps of the first calls, in order of arrival, and the one of all that follow."""

    def __init__(self, *steps: Step, then: Step | None = None) -> None:
        """Without `then` the model is well from there on."""
        self._steps = deque(steps)
        self._then = say() if then is None else then

    def reply_to(self, call: Call) -> Reply:
        """Takes the next step."""
        step = self._steps.popleft() if self._steps else self._then
        return step(call)


def say(*, tokens_in: int = 1_200, tokens_out: int = 250, **changes: Any) -> Step:
    """A right answer through the tool, but for `changes` to its words."""
    return lambda call: _answer([_tool_use(call, {**WORDS, **changes})], tokens_in=tokens_in, tokens_out=tokens_out)


def repeat_evidence() -> Step:
    """A right answer to what the prompt asks about: it names the stream and repeats its three strongest facts."""
    return lambda call: say(**_words_for(call.user_text))(call)


def say_fields(fields: Any) -> Step:
    """Exactly this as the tool's input, whatever schema it breaks."""
    return lambda call: _answer([_tool_use(call, fields)])


def invent_numbers() -> Step:
    """An explanation with figures that nobody measured."""
    return say(explanation="Its p99 latency rose from 3.7 ms to 4242 ms at 03:14, as that of 17 other disks did.")


def echo() -> Step:
    """Obeys whatever stands in the prompt: the explanation is the user's text."""
    return lambda call: say(explanation=call.user_text, risk_score=0, confidence=1.0)(call)


def talk(text: str = "I would rather not use a tool.") -> Step:
    """Text, and no call of the tool."""
    return lambda _: _answer([{"text": text}], stop_reason="end_turn")


def call_twice() -> Step:
    """Two calls of the tool that contradict one another."""
    first, second = WORDS, {**WORDS, "prediction_type": "stall", "risk_score": 5}
    return lambda call: _answer([_tool_use(call, first), _tool_use(call, second, number=2)])


def call_unknown_tool() -> Step:
    """A tool that it was not offered."""
    return lambda call: _answer([{"toolUse": {**_tool_use(call, WORDS)["toolUse"], "name": "delete_all_volumes"}}])


def think_first() -> Step:
    """A right answer after a block of reasoning, as models do that think by default."""
    thought = {"reasoningContent": {"reasoningText": {"text": "", "signature": "c2lnbmVk"}}}
    return lambda call: _answer([thought, _tool_use(call, WORDS)])


def stop_early() -> Step:
    """Out of tokens in the middle of the tool's input."""
    return lambda call: _answer([_tool_use(call, {"risk_score": 75})], stop_reason="max_tokens")


def throttle(retry_after_s: int | None = None) -> Step:
    """Too many requests; as a rule Bedrock does not say when to come again."""
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return lambda _: error(429, "ThrottlingException", "Too many requests, please wait before trying again.", headers)


def fail(status: int = 500, code: str = "InternalServerException") -> Step:
    """An error by its status and its code."""
    return lambda _: error(status, code, "The system encountered an unexpected error during processing.")


def send_page(status: int = 502) -> Step:
    """A page of some proxy between here and there."""
    page = b"<html><body><h1>Bad Gateway</h1></body></html>"
    return lambda _: Reply(page, status, {"content-type": "text/html"})


def send_malformed() -> Step:
    """A 200 whose body is no JSON."""
    return lambda _: Reply(b'{"output": {"message": {"role": "assistant", "content": [{"toolUse": ')


def hang() -> Step:
    """Takes the request and says nothing."""
    return lambda _: Reply(delivery=Delivery.NEVER)


def cut() -> Step:
    """Breaks off in the middle of a right answer."""
    return lambda call: replace(say()(call), delivery=Delivery.CUT)


def drip(pause_s: float, *, pieces: int = 20) -> Step:
    """A right answer in pieces, each too soon for a time-out that starts again with every byte."""
    return lambda call: replace(say()(call), delivery=Delivery.DRIP, pause_s=pause_s, pieces=pieces)


def late(pause_s: float, step: Step | None = None) -> Step:
    """A step, after thinking."""
    taken = say() if step is None else step
    return lambda call: replace(taken(call), pause_s=pause_s)


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """In restJson1 the error's name is a header; `__type` in the body is the older way, and both occur."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return Reply(body, status, {"x-amzn-errortype": f"{code}:{ERROR_TYPES}", **(headers or {})})


def _words_for(prompt: str) -> dict[str, Any]:
    evidence = json.loads(EVIDENCE.findall(prompt)[0])
    facts = "; ".join(fact["says"] for fact in evidence.get("facts", [])[:3])
    kind = evidence.get("prediction_type", "anomaly")
    return {
        "prediction_type": kind,
        "risk_score": evidence["risk_score"],
        "explanation": f"The double repeats what {evidence['stream']} is said to show: {facts}.",
    }


def _tool_use(call: Call, given: Any, *, number: int = 1) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": f"tooluse_{number:022}", "name": call.tool_name, "input": given}}


def _answer(
    content: list[dict[str, Any]], *, stop_reason: str = "tool_use", tokens_in: int = 1_200, tokens_out: int = 250
) -> Reply:
    answer = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": tokens_in, "outputTokens": tokens_out, "totalTokens": tokens_in + tokens_out},
        "metrics": {"latencyMs": 640},
    }
    return Reply(json.dumps(answer).encode())
