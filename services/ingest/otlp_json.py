"""OTLP metrics in JSON: camel case, 64-bit integers as text or as numbers, special floats as text."""

from __future__ import annotations

from typing import Final

import msgspec

from iops.errors import BodyTooLarge, MalformedBody
from services.ingest.otlp import CUMULATIVE, METRICS, NO_RECORDED_VALUE, Attributes, host_of, is_counted, series_of
from services.ingest.readings import Drop, Readings

# A data point has six: 8 MiB of `{},` would be half a gigabyte of Python objects.
CONTAINERS_LIMIT: Final = 200_000
DIGITS_LIMIT: Final = 20  # of a 64-bit integer with its sign
CUMULATIVE_TEXT: Final = "AGGREGATION_TEMPORALITY_CUMULATIVE"  # the mapping wants the number; some write the name


class _Message(msgspec.Struct, rename="camel", gc=False):
    """A message; fields that nobody here looks at are stepped over."""


class _AnyValue(_Message):
    string_value: str = ""


class _KeyValue(_Message):
    key: str = ""
    value: _AnyValue | None = None


class _Point(_Message):
    time_unix_nano: int | str = 0
    as_int: int | str | None = None
    as_double: float | str | None = None
    flags: int = 0
    attributes: list[_KeyValue] = []


class _Gauge(_Message):
    data_points: list[_Point] = []


class _Sum(_Gauge):
    aggregation_temporality: int | str = 0


class _Metric(_Message):
    name: str = ""
    unit: str = ""
    sum: _Sum | None = None
    gauge: _Gauge | None = None


class _ScopeMetrics(_Message):
    metrics: list[_Metric] = []


class _Resource(_Message):
    attributes: list[_KeyValue] = []


class _ResourceMetrics(_Message):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] = []


class _Request(_Message):
    resource_metrics: list[_ResourceMetrics] = []


DECODER: Final = msgspec.json.Decoder(_Request)


def parse_json(data: bytes, readings: Readings) -> None:
    """Adds what an ExportMetricsServiceRequest says; raises MalformedBody or BodyTooLarge."""
    if data.count(b"{") + data.count(b"[") > CONTAINERS_LIMIT:
        raise BodyTooLarge(f"the body has more than {CONTAINERS_LIMIT} objects and lists; send smaller batches")
    try:
        request = DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is not OTLP in JSON: {str(error)[:200]}") from error
    for resource_metrics in request.resource_metrics:
        resource = resource_metrics.resource
        host = host_of(_attributes(resource.attributes)) if resource else ""
        for scope in resource_metrics.scope_metrics:
            for metric in scope.metrics:
                _add_metric(metric, host, readings)


def _add_metric(metric: _Metric, host: str, readings: Readings) -> None:
    if metric.name not in METRICS:
        readings.ignore(metric.name)
        return
    content = metric.sum or metric.gauge or _Gauge()
    is_cumulative = metric.sum is not None and metric.sum.aggregation_temporality in (CUMULATIVE, CUMULATIVE_TEXT)
    if not is_counted(metric.name, is_sum=metric.sum is not None, is_cumulative=is_cumulative):
        readings.dropped[Drop.NOT_CUMULATIVE] += len(content.data_points)
        return
    for point in content.data_points:
        if point.flags & NO_RECORDED_VALUE:
            readings.dropped[Drop.STALE] += 1
            continue
        series = series_of(host, metric.name, metric.unit, _attributes(point.attributes))
        if isinstance(series, Drop):
            readings.dropped[series] += 1
        else:
            at_ms = _int(point.time_unix_nano) // 1_000_000
            readings.add(series[0], series[1], at_ms, _value(point) * series[2])


def _attributes(pairs: list[_KeyValue]) -> Attributes:
    return {pair.key: pair.value.string_value for pair in pairs if pair.value is not None}


def _value(point: _Point) -> float:
    if point.as_int is not None:
        return _int(point.as_int)
    if point.as_double is None:
        return -1.0  # no value: not a count
    try:
        return float(point.as_double)
    except ValueError as error:
        raise MalformedBody("an asDouble is not a number") from error


def _int(number: int | str) -> int:
    """A 64-bit integer in either form."""
    if isinstance(number, int):
        return number
    if len(number) > DIGITS_LIMIT or not (number.isascii() and number.removeprefix("-").isdecimal()):
        raise MalformedBody("a 64-bit integer is not one")
    return int(number)
