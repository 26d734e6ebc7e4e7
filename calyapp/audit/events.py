"""The closed catalogue of audit events, with their severities. A type stands here only if something emits it."""

from enum import StrEnum

from calyapp.errors import Severity


class EventType(StrEnum):
    """What an audit entry is about."""

    CALL_STARTED = "CALL_STARTED"
    CALL_STATUS_CHANGED = "CALL_STATUS_CHANGED"
    CALL_ENDED = "CALL_ENDED"
    RECORDING_RECEIVED = "RECORDING_RECEIVED"
    DELIVERY_RECEIVED = "DELIVERY_RECEIVED"
    HEARTBEAT_RECEIVED = "HEARTBEAT_RECEIVED"
    WEBHOOK_REJECTED = "WEBHOOK_REJECTED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    ERROR_OCCURRED = "ERROR_OCCURRED"
    DEGRADED_MODE_ENTERED = "DEGRADED_MODE_ENTERED"
    DEGRADED_MODE_LEFT = "DEGRADED_MODE_LEFT"
    SPOOL_REPLAYED = "SPOOL_REPLAYED"
    DELIVERY_DROPPED = "DELIVERY_DROPPED"
    DATA_CREATED = "DATA_CREATED"
    DATA_UPDATED = "DATA_UPDATED"
    WEBHOOK_KEY_ROTATED = "WEBHOOK_KEY_ROTATED"


SEVERITY: dict[EventType, Severity] = {
    EventType.CALL_STARTED: Severity.LOW,
    EventType.CALL_STATUS_CHANGED: Severity.LOW,
    EventType.CALL_ENDED: Severity.LOW,
    EventType.RECORDING_RECEIVED: Severity.LOW,
    EventType.DELIVERY_RECEIVED: Severity.LOW,
    EventType.HEARTBEAT_RECEIVED: Severity.LOW,
    EventType.WEBHOOK_REJECTED: Severity.MEDIUM,
    EventType.RATE_LIMIT_EXCEEDED: Severity.MEDIUM,
    EventType.ERROR_OCCURRED: Severity.HIGH,
    EventType.DEGRADED_MODE_ENTERED: Severity.HIGH,
    EventType.DEGRADED_MODE_LEFT: Severity.MEDIUM,
    EventType.SPOOL_REPLAYED: Severity.MEDIUM,
    EventType.DELIVERY_DROPPED: Severity.CRITICAL,
    EventType.DATA_CREATED: Severity.LOW,
    EventType.DATA_UPDATED: Severity.LOW,
    EventType.WEBHOOK_KEY_ROTATED: Severity.HIGH,
}
