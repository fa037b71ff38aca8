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
    tick_seconds: float = setting("PRESENCE_POSE_TICK_SECONDS", 0.05, "Poses are sent once per tick.")
    gap_seconds: float = setting(
        "PRESENCE_GAP_SECONDS", 0.05, "How long a missing event is waited for before it is fetched from the log."
    )
    head_seconds: float = setting(
        "PRESENCE_HEAD_SECONDS", 5.0, "How often heads are compared with the log, so that a lost last event is found."
    )
