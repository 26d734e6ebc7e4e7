"""What happened while the machine's clock was wrong, deliveries above all. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from calyapp.calls.event import CallEvent
from calyapp.calls.state import SOURCED, CallView, Source, Sourced

# Longer than any spool is left to itself, and shorter than the months that the trail keeps a place for.
_MAX_AGE = timedelta(days=31)
_MAX_AHEAD = timedelta(minutes=5)


def is_plausible(moment: datetime, now: datetime) -> bool:
    """Neither in the future, nor before any time that a spool keeps."""
    return now - _MAX_AGE <= moment <= now + _MAX_AHEAD


def fix_arrival_time(event: CallEvent, now: datetime) -> CallEvent:
    """The event; as of `now` if its arrival is not plausible."""
    if is_plausible(event.arrival.at, now):
        return event
    return replace(event, arrival=replace(event.arrival, at=now), view=_arrived(event.view, now))


def _arrived(view: CallView, now: datetime) -> CallView:
    """What it knows from its time of arrival only, it knows from `now`."""
    known = {name: getattr(view, name) for name in SOURCED}
    wrong = [name for name, value in known.items() if value and value.source is Source.ARRIVAL]
    changes: dict[str, Any] = {name: Sourced(Source.ARRIVAL, now) for name in wrong}
    return replace(view, **changes)
