"""The bounds on what one person and one address may spawn, as the replica finds who that is."""

from tests.integration.realtime.people import code_of
from tests.integration.realtime.world import World


async def test_the_sockets_of_an_account_share_a_bound_on_entities(world: World) -> None:
    for number in range(3):
        await world.join(f"tab-{number}", as_name="ann", address=f"198.51.100.{number}")
        for entity in range(64 if number < 2 else 0):
            await world.spawn(f"tab-{number}", f"{number}-{entity}")
    assert await code_of(world.spawn("tab-2", "one-more")) == "conflict"
    await world.join("bob", address="198.51.100.0")
    await world.spawn("bob", "his")


async def test_the_sockets_of_an_address_share_a_bound_on_entities(world: World) -> None:
    for number in range(5):
        await world.join(f"guest-{number}", address="198.51.100.7")
        for entity in range(64 if number < 4 else 0):
            await world.spawn(f"guest-{number}", f"{number}-{entity}")
    assert await code_of(world.spawn("guest-4", "one-more")) == "conflict"
    await world.join("bob", address="198.51.100.8")
    await world.spawn("bob", "his")
