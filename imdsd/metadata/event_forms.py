"""The only module that knows where an event stands in the metadata tree, and its bytes there.

Sources: the EC2 user guide's pages "Spot Instance interruption notices"
(spot-instance-termination-notices.html), "EC2 instance rebalance recommendations"
(rebalance-recommendations.html) and "View scheduled events" (viewing_scheduled_events.html); the
Auto Scaling user guide's "Retrieve the target lifecycle state through instance metadata".
"""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.metadata.events import (
    AutoscalingEvent,
    Event,
    MaintenanceEvent,
    RebalanceEvent,
    SpotEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

INSTANCE_ACTION = "meta-data/spot/instance-action"
TERMINATION_TIME = "meta-data/spot/termination-time"
REBALANCE = "meta-data/events/recommendations/rebalance"
SCHEDULED = "meta-data/events/maintenance/scheduled"
HISTORY = "meta-data/events/maintenance/history"
LIFECYCLE_STATE = "meta-data/autoscaling/target-lifecycle-state"

ALWAYS = (SCHEDULED, HISTORY)
"""Leaves that are there without an event too, as an empty array."""

# strftime writes the names of the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PREFIXES = {"completed": "[Completed] ", "canceled": "[Canceled] "}


def paths_of(event: Event) -> tuple[str, ...]:
    """Return the paths below a version where a client sees an event."""
    match event:
        case SpotEvent(action="terminate"):
            # For terminations only: spot-instance-termination-notices.html, "termination-time".
            return (INSTANCE_ACTION, TERMINATION_TIME)
        case SpotEvent():
            return (INSTANCE_ACTION,)
        case RebalanceEvent():
            return (REBALANCE,)
        case MaintenanceEvent():
            return (SCHEDULED if event.state == "active" else HISTORY,)
        case AutoscalingEvent():
            return (LIFECYCLE_STATE,)


def instants_of(event: Event, appears_at: datetime) -> dict[str, datetime]:
    """Return the instants an event names, by the names that we give them."""
    match event:
        case SpotEvent():
            return {"time": appears_at + timedelta(seconds=event.in_seconds)}
        case MaintenanceEvent():
            return {
                "not_before": appears_at + timedelta(seconds=event.in_seconds),
                "not_after": appears_at + timedelta(seconds=event.until_seconds),
            }
        case RebalanceEvent():
            return {"notice_time": appears_at}
        case AutoscalingEvent():
            return {}


def leaves_of(noticed: Iterable[tuple[Event, datetime]]) -> Mapping[str, bytes]:
    """Return the leaves of events and the instants their notices appeared; no value ends a line."""
    leaves: dict[str, str] = {}
    maintenance: dict[str, list[str]] = {path: [] for path in ALWAYS}
    for event, appeared_at in noticed:
        match event:
            case SpotEvent():
                leaves |= _spot(event, appeared_at)
            case RebalanceEvent():
                leaves[REBALANCE] = json.dumps({"noticeTime": format_instant(appeared_at)})
            case AutoscalingEvent():
                leaves[LIFECYCLE_STATE] = event.state
            case MaintenanceEvent():
                maintenance[paths_of(event)[0]].append(_maintenance(event, appeared_at))
    leaves |= {path: _array(objects) for path, objects in maintenance.items()}
    return {path: value.encode() for path, value in leaves.items()}


def _spot(event: SpotEvent, appeared_at: datetime) -> dict[str, str]:
    time = format_instant(instants_of(event, appeared_at)["time"])
    action = json.dumps({"action": event.action, "time": time})
    return dict.fromkeys(paths_of(event), time) | {INSTANCE_ACTION: action}


def _maintenance(event: MaintenanceEvent, appeared_at: datetime) -> str:
    instants = instants_of(event, appeared_at)
    prefix = _PREFIXES.get(event.state, "")
    document = {
        "NotBefore": _date(instants["not_before"]),
        "Code": event.code,
        "Description": prefix + event.description.removeprefix(prefix),
        "EventId": event.event_id,
        "NotAfter": _date(instants["not_after"]),
        "State": event.state,
    }
    return json.dumps(document, indent=2, separators=(",", " : "))


def _array(objects: list[str]) -> str:
    # "[ {", "}, {", "} ]" on lines of their own, as instances answer; "[]" for none.
    return f"[ {', '.join(objects)} ]" if objects else "[]"


def _date(instant: datetime) -> str:
    """Write an instant as `21 Jan 2019 09:00:43 GMT`; instances pad all numbers but the day."""
    utc = instant.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year:04} {utc:%H:%M:%S} GMT"
