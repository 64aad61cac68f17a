"""The only module that knows in which order the keys of [metadata] are read and weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.config.metadata.entries import entries_of, mapping_in, tables_of
from imdsd.config.metadata.friendly import REGION, ZONE, leaf_value, place_friendly, place_tags
from imdsd.config.metadata.interfaces import place_interfaces
from imdsd.config.metadata.paths import leaf_path, similar_path
from imdsd.config.metadata.placing import Placing
from imdsd.config.metadata.public_keys import place_public_keys
from imdsd.config.metadata.user_data import place_user_data
from imdsd.config.model import MetadataConfig
from imdsd.config.tables import ExpectedError, Setting, Table, problem_of
from imdsd.errors import Problem
from imdsd.metadata.events import EVENTS_LIMIT, Event, InvalidEventError, parse_event
from imdsd.metadata.settings import MetadataSettings

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_LEAVES = 1000


def read_metadata(
    table: Table,
    *,
    region: str,
    home: str | None,
    problems: list[Problem],
    warnings: list[str],
) -> MetadataConfig:
    """Return what [metadata] says as leaves, labels and events; what is wrong is noted.

    `region` is the default role's, empty where there is none; `home` is what ~ stands for.
    """
    placing = Placing(problems)
    place_friendly(table, placing)
    place_tags(table, placing, problems)
    place_user_data(table, placing, home=home)
    labels = place_public_keys(table, placing, problems)
    _place_leaves(table, placing, problems, warnings)
    place_interfaces(table, placing, problems)
    _check_zone(placing, region, problems, warnings)
    _check_count(placing, problems)
    return MetadataConfig(MetadataSettings(placing.leaves, labels), _read_events(table, problems))


def _place_leaves(
    table: Table, placing: Placing, problems: list[Problem], warnings: list[str]
) -> None:
    found = entries_of(table, "leaves")
    leaves = Table(found, problems)
    for path, setting in found.items():
        value = leaves.read(path, _leaf_at(path), None)
        if value is None:
            continue
        placing.put(path, value, setting)
        if (near := similar_path(path)) is not None:
            warnings.append(
                f"{setting.source}: {setting.key} is not a path of EC2's tree; did you mean {near}?"
            )


def _leaf_at(path: str) -> Callable[[object], bytes]:
    parse_value = leaf_value(path)

    def parse(value: object) -> bytes:
        leaf_path(path)
        return parse_value(value)

    return parse


def _check_zone(
    placing: Placing, region: str, problems: list[Problem], warnings: list[str]
) -> None:
    """Hold the zone against the region: botocore takes the zone without its last letter for it."""
    zone, giver = placing.leaves.get(ZONE, b"").decode(), placing.giver(ZONE)
    configured = placing.leaves.get(REGION, b"").decode()
    in_use = configured or region
    if giver is None or not in_use or _lies_in(zone, in_use):
        return
    if configured:
        expected = f"a zone of the region {configured}, such as {configured}a"
        hint = "clients take the region from the zone; change one of the two"
        problems.append(problem_of(giver, ExpectedError(expected, hint=hint)))
    else:
        warnings.append(
            f"{giver.source}: {giver.key} is {zone!r}, which is no zone of the default role's "
            f"region {region}: some clients take the region from the zone; set region in "
            "[metadata] too"
        )


def _lies_in(zone: str, region: str) -> bool:
    rest = zone.removeprefix(region)
    return rest != zone and not rest[:1].isdecimal()


def _check_count(placing: Placing, problems: list[Problem]) -> None:
    if len(placing.leaves) > _MOST_LEAVES:
        giver = placing.giver(next(iter(placing.leaves)))
        source = giver.source if giver else ""
        found = f"{len(placing.leaves)} leaves"
        problems.append(Problem(source, "metadata", found, f"at most {_MOST_LEAVES}"))


def _read_events(table: Table, problems: list[Problem]) -> tuple[Event, ...]:
    found = (_read_event(each, problems) for each in tables_of(table, "event", most=EVENTS_LIMIT))
    return tuple(event for event in found if event is not None)


def _read_event(place: Setting, problems: list[Problem]) -> Event | None:
    try:
        return parse_event(mapping_in(place))
    except InvalidEventError as error:
        key = f"{place.key}.{error.key}"
        problems.append(Problem(place.source, key, error.found, error.expected, error.hint))
        return None
