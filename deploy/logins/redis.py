"""Users at Redis: the keys, channels and commands of each service, as `libs.common.cache` and the services use them.

Who is nobody in particular may PING, so that a probe needs no password. No service may look for keys, read or change
the server's settings, see other connections, or delete what is not its own. A script is held to the same rules: every
command inside it is checked.
"""

import hashlib
from collections.abc import Mapping

ADMIN = "admin"  # a person at the keyboard, and the tests; no process of ours
# redis-py tells its own name too (CLIENT SETINFO, from 7.2 on), and does not mind being refused.
CONNECT = ("ping", "select")
SCRIPTS = ("eval", "evalsha", "script|load")
LIMITS = (*SCRIPTS, "get", "set", "incrby", "expire", "exists", "ttl", "pttl", "rename", "del")
LIMITS_KEYS = ("~LIMITS:*",)
EPOCHS = (*SCRIPTS, "get", "set", "incr", "expire", "exists", "time", "publish")
EPOCH_KEYS = ("~{*}:epoch", "~{*}:epoch_seq")

# Service → keys ("%R~" for reading only), channels, commands.
RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "gateway": (
        (
            *("%R~auth:denied:*", "%R~auth:jwks", "~guests:salt", "~health:probe", "~primary:notice:*"),
            *("%R~sync:status", "%R~backup:status", "%R~presence:active", *LIMITS_KEYS),
        ),
        ("&presence:changes",),
        (*LIMITS, "zrange", "subscribe", "unsubscribe"),
    ),
    "realtime": (
        (
            *("~{*}:members", "~{*}:owners", "~{*}:entities:*", "~{*}:people", "~{*}:dropped", "~{*}:version"),
            *("~{*}:things", "~{*}:thing-counts", "~{*}:thing-holders", "~{*}:thing-version"),
            *("~{replica:*}:spaces", "~presence:replicas", "~presence:active"),
            "~{*}:epoch",  # a key of a script, which may write
            *("%R~auth:denied:*", "%R~auth:logouts", "%R~auth:jwks", *LIMITS_KEYS),
        ),
        ("&{*}:wire", "&presence:accounts", "&presence:probe:*"),
        (
            *(*LIMITS, "incr", "time", "multi", "exec", "discard", "publish", "subscribe", "unsubscribe"),
            *("hget", "hmget", "hset", "hdel", "hlen", "hexists", "hincrby", "hkeys", "hvals", "hgetall", "pexpire"),
            *("zadd", "zrem", "zscore", "zrangebyscore", "sadd", "srem", "smembers", "persist", "xrange", "xrevrange"),
        ),
    ),
    "spaces_auth": (
        (
            *("%R~{*}:members", "~{*}:address:*", "%R~presence:active", *EPOCH_KEYS),
            *("~auth:challenge:*", "~auth:wallet:*", "~auth:denied:*", "~auth:logouts", "~auth:jwks"),
            *("~hive:authority:*", "~content:wanted"),
        ),
        ("&presence:changes",),
        (
            *(*EPOCHS, "getdel", "hget", "hlen", "hvals", "zrevrange", "xadd", "zadd", "zcard"),
            *("multi", "exec", "discard"),
        ),
    ),
    "chat": ((), ("&presence:accounts", "&presence:changes"), ("publish",)),
    "sync_worker": (
        ("~sync:status", "~content:wanted", *EPOCH_KEYS),
        ("&presence:changes",),
        (*EPOCHS, "zpopmin"),
    ),
    "backup": (("~backup:status",), (), ("get", "set")),
}


def rules(service: str) -> list[str]:
    """Returns what a service may do, in the words of Redis's ACL: first nothing, then what it needs."""
    keys, channels, commands = RULES[service]
    return ["resetkeys", "resetchannels", "-@all", *keys, *channels, *(f"+{name}" for name in (*CONNECT, *commands))]


def users(passwords: Mapping[str, str], admin_password: str) -> list[str]:
    """Returns the lines of an ACL file. Passwords are in it as SHA-256 only."""
    return [
        "user default on nopass resetkeys resetchannels -@all +ping",
        f"user {ADMIN} on {_hashed(admin_password)} ~* &* +@all",
        *(f"user {service} on {_hashed(passwords[service])} {' '.join(rules(service))}" for service in RULES),
    ]


def _hashed(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"
