"""Schemas of the answers to Exotel and of the health endpoints."""

from typing import Any

from marshmallow import fields

from calyapp.calls.state import CallStatus
from calyapp.health.checks import Health
from calyapp.web.schemas.operations import about
from calyapp.web.schemas.responses import BaseResponseSchema, DoneSchema, count, free, moment, text, word

_STREAM = "wss://media.example.com/audio?callId=01890a5d-ac96-774b-bcce-b302099a8057&token=…"


class SaySchema(BaseResponseSchema):
    """A greeting, spoken while the stream connects."""

    spoken = text("Text of the greeting", "नमस्ते", data_key="_text")
    voice = text("Voice", "woman")
    language = text("Language", "hi-IN")


class StreamAttributesSchema(BaseResponseSchema):
    """Attributes of the stream."""

    url = text("URL of the stream, the same as the top-level `url`", _STREAM)
    track = text("Which audio tracks to stream", "both_tracks")


class StreamSchema(BaseResponseSchema):
    """A stream."""

    attributes = fields.Nested(StreamAttributesSchema, required=True, data_key="_attributes")


class ResponseSchema(BaseResponseSchema):
    """The same instructions in the form of a flow."""

    say = fields.Nested(SaySchema, required=True, data_key="Say")
    stream = fields.Nested(StreamSchema, required=True, data_key="Stream")


class StreamAnswerSchema(BaseResponseSchema):
    """The URL of the voice agent's audio stream."""

    url = text("URL of the stream, with a token that is valid for two minutes by default", _STREAM)
    response = fields.Nested(ResponseSchema, required=True, data_key="Response")


class StatusAnswerSchema(DoneSchema):
    """The delivery is recorded. Returns the call's status."""

    status = word(
        CallStatus, "Status of the call; null if neither the record nor the delivery gives one", allow_none=True
    )


class RecordedAnswerSchema(DoneSchema):
    """The delivery is recorded."""

    message = text("Confirmation, for people", "Call recorded")


class LivenessSchema(BaseResponseSchema):
    """The process answers."""

    status = text("Always `alive`", "alive")
    timestamp = moment("Present time")


class CheckSchema(BaseResponseSchema):
    """The status of one check."""

    status = word(Health, "Status of the check")


class CheckDetailsSchema(BaseResponseSchema):
    """The status of one check, with its reason, its remedy and further figures."""

    status = word(
        [*Health, "not scanned", "not backed up"],
        "Status of the check, or that something optional was never done",
    )
    reason = text("What is wrong; null if nothing is", None, "the last backup failed", allow_none=True)
    remedy = text("What to do next; null if nothing is wrong", None, "Run `flask caly partitions`.", allow_none=True)
    response_time = fields.Float(required=True, metadata=about("Duration of the check in milliseconds", 0.42))


def _checks(schema: type[BaseResponseSchema]) -> fields.Dict:
    values = fields.Nested(schema)
    return fields.Dict(required=True, keys=fields.String(), values=values, metadata=about("The checks by name"))


class ReadinessSchema(BaseResponseSchema):
    """Whether the service can receive traffic: if it is healthy or degraded. A degraded service loses nothing."""

    status = word(Health, "Status of the worst check")
    timestamp = moment("Present time")
    checks = _checks(CheckSchema)


class HealthDetailsSchema(ReadinessSchema):
    """The status of each check, with its reason and remedy."""

    checks = _checks(CheckDetailsSchema)
    version = text("Version of Caly", "0.1.0")
    uptime_seconds = fields.Float(required=True, metadata=about("Seconds since the service started", 86400.5))


class MetricsSchema(BaseResponseSchema):
    """Metrics of all workers together."""

    requests = free(
        "Number of requests: `total`, and `byStatus` by class of status", {"total": 7, "byStatus": {"2xx": 7}}
    )
    latency_ms = free(
        "Percentiles of latency in milliseconds; null before the first request", {"p50": 2.1, "p95": 4.0, "p99": 9.7}
    )
    error_rate = fields.Float(required=True, metadata=about("Share of requests answered with status 5xx", 0.0))
    slow_requests = count("Requests that took longer than a second", 0)
    deliveries = free("Number of deliveries, by route and result", {"call-start": {"recorded": 7}})
    connections = free("Connections to PostgreSQL", {"open": 5, "inUse": 1})
    spool = free(
        "Deliveries that wait in the spool, and those in quarantine because PostgreSQL rejected them",
        {"depth": 0, "quarantined": 0},
    )
    memory_bytes = count("Resident memory in bytes", 180_000_000)
    uptime_seconds = fields.Float(required=True, metadata=about("Seconds since the service started", 86400.5))
    workers = count("Number of worker processes", 2)


PROMETHEUS: dict[str, Any] = {"text/plain": {"type": "string", "description": "Prometheus text format"}}
