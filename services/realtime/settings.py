"""Settings of realtime."""

from dataclasses import dataclass

from libs.common.settings import EdgeSettings, setting


@dataclass(frozen=True)
class Settings(EdgeSettings):
    replica_id: str = setting(
        "PRESENCE_REPLICA_ID", "r1", "This replica's name: the prefix of its socket ids, by which Caddy finds it."
    )
    lease_seconds: float = setting(
        "PRESENCE_LEASE_SECONDS", 5.0, "Members of a replica that does not renew for so long are announced as left."
    )
    grace_seconds: float = setting(
        "PRESENCE_GRACE_SECONDS", 4.0, "How long a member whose connection broke stays, for its next one to take over."
    )
    sockets_per_account: int = setting(
        "PRESENCE_SOCKETS_PER_ACCOUNT", 16, "Sockets that one account or guest may have on a replica."
    )
    sockets_per_address: int = setting(
        "PRESENCE_SOCKETS_PER_ADDRESS", 500, "Sockets that one address (an IPv6 /64) may have on a replica."
    )
    handshakes_per_address: int = setting(
        "PRESENCE_HANDSHAKES_PER_ADDRESS", 100, "Connections without a CONNECT that one address may have on a replica."
    )
    handshake_seconds: float = setting(
        "PRESENCE_HANDSHAKE_SECONDS",
        5.0,
        "How long, at most 20, a CONNECT waits for what is away before it is turned away, to come again.",
    )
    tick_seconds: float = setting("PRESENCE_POSE_TICK_SECONDS", 0.05, "Poses are sent once per tick.")
    interest_above: int = setting(
        "PRESENCE_INTEREST_ABOVE", 1000, "In a subspace with more members, those far away are told of once a second."
    )
    gap_seconds: float = setting(
        "PRESENCE_GAP_SECONDS", 0.05, "How long a missing event is waited for before it is fetched from the log."
    )
    head_seconds: float = setting(
        "PRESENCE_HEAD_SECONDS", 5.0, "How often heads are compared with the log, so that a lost last event is found."
    )
    ping_interval_seconds: int = setting(
        "PRESENCE_PING_INTERVAL_SECONDS", 25, "How often each socket is pinged; whole seconds, Engine.IO truncates."
    )
    ping_timeout_seconds: int = setting(
        "PRESENCE_PING_TIMEOUT_SECONDS", 20, "How long a socket may take for its pong before it counts as gone."
    )
