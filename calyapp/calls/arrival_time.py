"""Corrects arrival times that a wrong clock wrote. Pure functions."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from calyapp.calls.event import CallEvent
from calyapp.calls.state import SOURCED, CallView, Source, Sourced

# Longer than a spool waits in practice. Shorter than the months for which the audit log has partitions.
_MAX_AGE = timedelta(days=31)
_MAX_AHEAD = timedelta(minutes=5)


def is_plausible(moment: datetime, now: datetime) -> bool:
    """Whether the moment is at most 31 days old and at most 5 minutes ahead of `now`."""
    return now - _MAX_AGE <= moment <= now + _MAX_AHEAD


def fix_arrival_time(event: CallEvent, now: datetime) -> CallEvent:
    """Returns the event. If its arrival is not plausible, it arrives at `now` instead."""
    if is_plausible(event.arrival.at, now):
        return event
    return replace(event, arrival=replace(event.arrival, at=now), view=_with_arrival(event.view, now))


def _with_arrival(view: CallView, now: datetime) -> CallView:
    """Replaces the times that the view took from the arrival. Times from Exotel stay."""
    sourced = {name: getattr(view, name) for name in SOURCED}
    from_arrival = [name for name, value in sourced.items() if value and value.source is Source.ARRIVAL]
    changes: dict[str, Any] = {name: Sourced(Source.ARRIVAL, now) for name in from_arrival}
    return replace(view, **changes)
