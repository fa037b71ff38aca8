"""What was spawned in a space, after Redis was read again."""

import msgspec

from libs.common.contracts.presence import EntityEventOut
from services.realtime.cluster.messages import Entity
from services.realtime.space.entities import SpaceEntities


def spawned(owner: str, entity_id: str, colour: str = "red") -> EntityEventOut:
    data = msgspec.Raw(msgspec.json.encode({"id": entity_id, "colour": colour}))
    return EntityEventOut(owner, None, "spawn", data)


def ids(entities: SpaceEntities) -> list[str]:
    return [msgspec.json.decode(event.data)["id"] for event in entities.shown("main")]


def test_reading_again_keeps_the_order_and_ones_own_and_takes_the_others_from_redis() -> None:
    entities = SpaceEntities()
    for owner, entity_id in (("far", "cube"), ("here", "ball"), ("far", "gone"), ("far", "cone")):
        entities.apply("main", spawned(owner, entity_id))
    stored = {f"main:{name}": Entity("far", "main", spawned("far", name, "blue")) for name in ("cone", "new", "cube")}
    stored["main:removed here"] = Entity("here", "main", spawned("here", "removed here"))
    entities.reload(stored, {"here"})
    assert ids(entities) == ["cube", "ball", "cone", "new"]
    assert b"blue" in bytes(entities.shown("main")[0].data)
