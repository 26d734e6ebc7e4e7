"""What Exotel is answered, and what those hear who ask for the health of the service."""

from typing import Any

from marshmallow import fields

from calyapp.calls.state import CallStatus
from calyapp.health.checks import Health
from calyapp.web.schemas.operations import about
from calyapp.web.schemas.responses import BaseResponseSchema, DoneSchema, count, free, moment, text, word

_STREAM = "wss://media.example.com/audio?callId=01890a5d-ac96-774b-bcce-b302099a8057&token=…"


class SaySchema(BaseResponseSchema):
    """What is said meanwhile."""

    spoken = text("What to say meanwhile", "नमस्ते", data_key="_text")
    voice = text("In which voice", "woman")
    language = text("In which language", "hi-IN")


class StreamAttributesSchema(BaseResponseSchema):
    """Of the stream."""

    url = text("As above", _STREAM)
    track = text("What to stream", "both_tracks")


class StreamSchema(BaseResponseSchema):
    """The stream."""

    attributes = fields.Nested(StreamAttributesSchema, required=True, data_key="_attributes")


class ResponseSchema(BaseResponseSchema):
    """The same, for a flow."""

    say = fields.Nested(SaySchema, required=True, data_key="Say")
    stream = fields.Nested(StreamSchema, required=True, data_key="Stream")


class StreamAnswerSchema(BaseResponseSchema):
    """Where the agent's audio is."""

    url = text("The address of the stream, with a token that is good for two minutes unless set otherwise", _STREAM)
    response = fields.Nested(ResponseSchema, required=True, data_key="Response")


class StatusAnswerSchema(DoneSchema):
    """Taken, and how the call stands."""

    status = word(
        CallStatus, "The call's status; null if neither it nor what the delivery reports is known", allow_none=True
    )


class RecordedAnswerSchema(DoneSchema):
    """Taken."""

    message = text("In words", "Call recorded")


class LivenessSchema(BaseResponseSchema):
    """That the process answers."""

    status = text("Always `alive`", "alive")
    timestamp = moment("Now")


class CheckSchema(BaseResponseSchema):
    """How well one thing is."""

    status = word(Health, "How well it is")


class CheckDetailsSchema(BaseResponseSchema):
    """How well one thing is, why, what to do about it, and figures of its own."""

    status = word(
        [*Health, "not scanned", "not backed up"],
        "How well it is, or that it was never done and need not have been",
    )
    reason = text("What is wrong; null if nothing is", None, "the last backup failed", allow_none=True)
    remedy = text("What to do about it; null if nothing", None, "Run `flask caly partitions`.", allow_none=True)
    response_time = fields.Float(required=True, metadata=about("How long the check took, in milliseconds", 0.42))


def _checks(schema: type[BaseResponseSchema]) -> fields.Dict:
    values = fields.Nested(schema)
    return fields.Dict(required=True, keys=fields.String(), values=values, metadata=about("By name"))


class ReadinessSchema(BaseResponseSchema):
    """Whether it may have traffic: unless it is unhealthy, for degraded loses nothing."""

    status = word(Health, "That of the worst check")
    timestamp = moment("Now")
    checks = _checks(CheckSchema)


class HealthDetailsSchema(ReadinessSchema):
    """Each check with its reason and remedy."""

    checks = _checks(CheckDetailsSchema)
    version = text("Of Caly", "0.1.0")
    uptime_seconds = fields.Float(required=True, metadata=about("Since the service started", 86400.5))


class MetricsSchema(BaseResponseSchema):
    """How much it has done, all workers together."""

    requests = free("How many: `total`, and `byStatus` by their class", {"total": 7, "byStatus": {"2xx": 7}})
    latency_ms = free("Percentiles; null before the first request", {"p50": 2.1, "p95": 4.0, "p99": 9.7})
    error_rate = fields.Float(required=True, metadata=about("The share of requests answered 5xx", 0.0))
    slow_requests = count("Those that took longer than a second", 0)
    deliveries = free("How many, by route and result", {"call-start": {"recorded": 7}})
    connections = free("To PostgreSQL", {"open": 5, "inUse": 1})
    spool = free("Deliveries that wait, and those that PostgreSQL refuses", {"depth": 0, "quarantined": 0})
    memory_bytes = count("Resident", 180_000_000)
    uptime_seconds = fields.Float(required=True, metadata=about("Since the service started", 86400.5))
    workers = count("Processes that answer", 2)


PROMETHEUS: dict[str, Any] = {"text/plain": {"type": "string", "description": "Prometheus' text format"}}
