"""Settings of spaces_auth."""

from dataclasses import dataclass

from libs.common.hive import HiveSettings
from libs.common.settings import SecretSettings, setting


@dataclass(frozen=True)
class Settings(HiveSettings, SecretSettings):
    token_seconds: int = setting("PRESENCE_TOKEN_SECONDS", 3600, "Life of an account's identity token.")
    guest_token_seconds: int = setting("PRESENCE_GUEST_TOKEN_SECONDS", 86_400, "Life of a guest's token.")
    refresh_seconds: int = setting("PRESENCE_REFRESH_SECONDS", 2_592_000, "Life of a refresh token.")
    refresh_repeat_seconds: float = setting(
        "PRESENCE_REFRESH_REPEAT_SECONDS",
        30.0,
        "Seconds for which a used refresh token gives its successor again, to a second tab or after a lost answer.",
    )
    admission_seconds: int = setting("PRESENCE_ADMISSION_SECONDS", 7200, "Life of an admission to one space.")
    key_rotation_days: float = setting(
        "PRESENCE_KEY_ROTATION_DAYS", 30.0, "Age in days at which the key that signs tokens gets a successor."
    )
    log_days: int = setting(
        "PRESENCE_LOG_DAYS",
        90,
        "Days after which an event goes from the log, with the whole of its month (UTC); and a counter nobody uses.",
    )
    stay_log_days: int = setting("PRESENCE_STAY_LOG_DAYS", 7, "Days for which the log keeps who came and went.")
    challenge_seconds: int = setting("PRESENCE_CHALLENGE_SECONDS", 300, "How long a login challenge may be answered.")
    wallet_challenges: bool = setting(
        "PRESENCE_WALLET_CHALLENGES",
        True,
        "Take challenges that clients make themselves (dlux_vr_...), for joins only: they name no host.",
    )
    authority_depth: int = setting(
        "PRESENCE_HIVE_AUTHORITY_DEPTH",
        2,
        "How many accounts, each named by the one before, may lie between an account and its key; at most 2.",
    )
    apps_url: str = setting(
        "PRESENCE_APPS_URL",
        "https://{author}.ipfs.dlux.io/ipfs/{cid}",
        "Where posts' own programs run, apart from this site: {author} is the post's, {cid} the program on IPFS.",
    )
    events_per_account: int = setting(
        "PRESENCE_EVENTS_PER_ACCOUNT", 20, "How many events an account may have that are not over, cancelled ones too."
    )
    event_grace_minutes: int = setting(
        "PRESENCE_EVENT_GRACE_MINUTES", 60, "Minutes after its end for which an event's space stays open."
    )
    event_reminder_minutes: int = setting(
        "PRESENCE_EVENT_REMINDER_MINUTES",
        10,
        "Minutes before its start at which those who go to an event are reminded.",
    )
    turn_secret: str = setting(
        "TURN_SECRET", "", "The secret shared with coturn (static-auth-secret); empty gives STUN only."
    )
    turn_seconds: int = setting("PRESENCE_TURN_SECONDS", 3600, "Life of an account's TURN credentials, in seconds.")
    guest_turn_seconds: int = setting(
        "PRESENCE_GUEST_TURN_SECONDS",
        600,
        "Life of a guest's TURN credentials, in seconds; guests of one address share one quota of relays.",
    )
    stun_uris: tuple[str, ...] = setting(
        "PRESENCE_STUN_URIS", ["stun:localhost:3478"], "STUN servers that clients are told of."
    )
    turn_uris: tuple[str, ...] = setting(
        "PRESENCE_TURN_URIS",
        ["turn:localhost:3478?transport=udp", "turn:localhost:3478?transport=tcp"],
        "TURN servers that clients with a token are told of.",
    )
