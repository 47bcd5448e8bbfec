"""What a language model may say of a stream, and what is refused."""

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.insights.answer import Answer, Objected, read_answer
from services.insights.figures import figures_of, quantities
from services.insights.names import names_of, strange_names, without_names
from services.insights.prompt import prompt_of
from services.insights.providers import Reply
from tests.doubles.scenario import LONG_TEXT, MARKUP, WORDS
from tests.unit.builders import examples
from tests.unit.evidences import ALL, HOSTILE, evidence

STEPS = ["Drain the disk and watch its peers.", "Read its SMART health and the kernel log."]


def a_reply(given: Any, fault: str | None = None) -> Reply:
    return Reply(given=given, fault=fault, tokens_in=1, tokens_out=1, cost_usd=0.0)


def said(**changes: Any) -> Answer:
    return read_answer(a_reply({**WORDS, "recommendations": STEPS, **changes}), ALL)


def objections_to(**changes: Any) -> str:
    with pytest.raises(Objected) as refused:
        said(**changes)
    assert all(len(sentence) <= 240 for sentence in refused.value.objections)
    return " ".join(refused.value.objections)


@pytest.mark.parametrize(
    "explanation",
    [
        "web-1:nvme0n1 takes 6.13 ms, 6.14 times its 24 h median of 0.998 ms, while its peers take 1.04 ms.",
        "Await on web-1:nvme0n1 rose to about 6.1 ms, some six times its usual 1 ms; its peers are at 1.0 ms.",
        "The volume delivers 31,840 IOPS against a 24-hour median of 12,050 and stands at 97 % of its limit of 3000.",
        "At 31.8k IOPS it is busy, and 2,913 of 3,000 provisioned IOPS (97.1%) are used by gp3 in us-east-1a.",
        "Reads reach 252 MB/s (240 MiB/s); the median of the day is 83.9 MB/s, or 80 MiB per second.",
        "Reads reach 0.25 GB/s, 4.2 times its spread above the usual level, since 02:27 UTC.",
        "There were 14 I/O errors in the last 15 minutes; a healthy device has none, and p99 is not known.",
        "There were fourteen I/O errors in the last fifteen minutes on /dev/nvme0n1.",
        "Nothing completed for 20 seconds with 12 requests in flight, so whatever waits for it hangs.",
        "Nothing completed for 20s, with a dozen requests in flight; the controller nvme0 may have reset.",
        "One of its five peers, web-1:nvme1n1, is ill too (risk 64), so look at the host web-1 first.",
        "It began at 2026-11-23T02:27Z, 12 minutes before the end of the window, and the risk is 87 out of 100.",
        "The await of 6130 us compares with 998 us on its own day; from 998 to 6130 us is no small step.",
        "It takes 5.89x as long as its peers, whose median await is 1.04 ms, at the 95th percentile or not.",
        "An await < 7 days old is no baseline, yet two of the facts say the same: it takes 6 ms, not 1 ms.",
        "A similar finding of risk 71 was confirmed on 2026-11-22; compare it with this one of 87.4 on NVMe.",
        "Await went from 0.998 to 6.13 ms. Demand at 32 thousand IOPS does not explain it (confidence 90 %).",
    ],
)
def test_an_honest_text_passes(explanation: str) -> None:
    assert said(explanation=explanation).explanation == explanation


@pytest.mark.parametrize(
    "explanation",
    [
        "Its p99 latency rose from 3.7 ms to 4242 ms at 03:14, as that of 17 other disks did.",
        "The await of web-1:nvme0n1 is 6.4 ms, which is more than its peers take.",
        "The await of web-1:nvme0n1 is 6.13 s, which is more than its peers take.",
        "The await of web-1:nvme0n1 is 6.00 ms, which is more than its peers take.",
        "It takes twelve hundred times as long as its peers do, who are well.",
        "There were seventeen I/O errors in the last quarter of an hour on it.",
        "It stands at 45 % of its provisioned limit and is slow all the same.",
        "It began at 03:14 UTC and has been slow for as long as is known.",
        "It began on 2026-10-01 and has been slow for as long as is known.",
        "Reads reach 999 MB/s, which is far above what they were yesterday.",
        "It has been slow for three weeks, and nobody has looked at it yet.",
        "The risk is 0 and nothing has to be done by anybody about this disk.",
        "The stream web-2:nvme0n1 is slow as well, so look at the network.",
        "The stream db:data is slow as well, so look at the network first.",
        "The device nvme7n1 is slow as well, so look at the controller.",
        "The device sdb is slow as well, so look at the controller first.",
        "The volume vol-0abc123 is slow as well, so look at the service.",
        "The host web-9 is slow as well, so look at the network between.",
        MARKUP,
        "Read [this page](https://example.com/fix) before you do anything.",
        "Open javascript:alert before you do anything about this disk.",
        "Open www.example.com before you do anything about this disk.",
        "The disk is &lt;b&gt;slow&lt;/b&gt; and its peers are not slow.",
        "It has lost \uff14\uff12\uff14\uff12 requests in flight and will not answer them.",
        "It takes 1e300 ms, or " + "9" * 400 + " ms, and its peers do not.",
        LONG_TEXT,
        "Too short.",
        prompt_of(ALL).user,
        "\x00" * 30,
        None,
        ["The disk is slow and its peers are not, as far as is known."],
    ],
)
def test_a_text_that_the_evidence_does_not_bear_out_is_refused(explanation: Any) -> None:
    objections_to(explanation=explanation)


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "changes",
    [
        {"risk_score": 900},
        {"risk_score": "75"},
        {"risk_score": math.nan},
        {"risk_score": True},
        {"confidence": "high"},
        {"confidence": math.inf},
        {"confidence": None},
        {"prediction_type": "cosmic_rays"},
        {"prediction_type": 3},
        {"recommendations": "Drain it."},
        {"recommendations": ["Drain the disk."]},
        {"recommendations": ["Drain the disk."] * 5},
        {"recommendations": ["Drain the disk.", "Wait for 45 minutes."]},
        {"recommendations": ["Drain the disk.", "Drain web-3:nvme0n1 too."]},
        {"recommendations": nested(5_000)},
        {"severity": "high"},
        {"\ud800": 1},
    ],
)
def test_a_wrong_field_is_refused(changes: dict[str, Any]) -> None:
    objections_to(**changes)


@pytest.mark.parametrize("given", [None, [], "text", 5, {}, [WORDS], {"risk_score": 75}, {1: 2}, nested(5_000)])
def test_what_is_no_answer_is_refused(given: Any) -> None:
    with pytest.raises(Objected):
        read_answer(a_reply(given), ALL)


def test_a_fault_is_told_with_what_to_do() -> None:
    with pytest.raises(Objected, match="exactly once; what came was: two calls"):
        read_answer(a_reply(None, "two calls"), ALL)


def test_an_objection_names_what_to_mend_and_repeats_little() -> None:
    assert "'4242 ms' is not in the evidence" in objections_to(explanation="It takes 4242 ms, as nobody measured.")
    assert "x" * 100 not in objections_to(**{"x" * 5_000: 1})


def test_control_and_bidirectional_characters_are_dropped() -> None:
    text = said(explanation="The disk\u202e is\x1b slow,\nand its peers\u200b are not.").explanation
    assert text == "The disk is slow, and its peers are not."


def test_a_hostile_name_may_be_named() -> None:
    words = {**WORDS, "explanation": f"The stream {HOSTILE} is slow, at 6.13 ms.", "recommendations": STEPS}
    assert HOSTILE in read_answer(a_reply(words), evidence(stream_id=HOSTILE)).explanation


def test_a_number_in_a_label_is_no_name() -> None:
    words = {**WORDS, "explanation": "The disk is slow: it takes 4242 ms now.", "recommendations": STEPS}
    with pytest.raises(Objected):
        read_answer(a_reply(words), evidence(labels={"note": "4242 ms"}))


@settings(max_examples=examples(200), deadline=None)
@given(value=st.floats(0.001, 1e9), digits=st.integers(2, 4), commas=st.booleans())
def test_a_number_rounded_is_that_number(value: float, digits: int, commas: bool) -> None:
    rounded = float(f"{value:.{digits}g}")
    text = f"{rounded:,.0f}" if commas and rounded >= 1_000 else f"{rounded:.12f}".rstrip("0").rstrip(".")
    assert quantities(text)[0].is_of(value)


@settings(max_examples=examples(200), deadline=None)
@given(st.floats(0.001, 1e9), st.floats(0.001, 1e9))
def test_another_number_is_not(value: float, other: float) -> None:
    is_same = math.isclose(value, other, rel_tol=0.002)
    assert quantities(f"{other:.6f}")[0].is_of(value) <= is_same


JSON = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.text(), max_size=5)


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(WORDS)) | st.text(), JSON, max_size=7), st.text(max_size=100))
def test_nothing_raises_anything_but_an_objection(fields: dict[str, Any], text: str) -> None:
    for given_ in (fields, {**WORDS, "explanation": "The disk is slow now. " + text}):
        try:
            read_answer(a_reply(given_), ALL)
        except Objected:
            continue


@pytest.mark.parametrize("piece", ["1,", "a:", "<", "ten-"])
def test_40_kb_take_no_time(piece: str) -> None:
    text = (piece * 40_000)[:40_000]
    began = time.process_time()
    figures_of(ALL).unknown(text)
    strange_names(without_names(text, names_of(ALL)), ALL)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "latency4242ms was seen on this disk.",
        "It is x4242 times slower than its peers.",
        "Latency went up a hundredfold; tenfold at least.",
        "The disk db-9 is slow too.",
        "Read evil.example.com/x before you act.",
        "Write to root@evil.example about it.",
    ],
)
def test_what_is_hidden_in_a_word_is_refused_too(text: str) -> None:
    with pytest.raises(Objected):
        said(explanation=text)
