"""Where processes listen, by /proc."""

import socket
from pathlib import Path

TCP_LISTEN, UDP_UNCONNECTED = "0A", "07"
IPV6_LOOPBACK = "00000000000000000000000001000000"  # as /proc writes it


def listening(pid: int | None) -> set[tuple[str, int]]:
    """The addresses at which a process itself takes connections or datagrams; of IPv6 as 32 hex digits."""
    process = Path(f"/proc/{pid}")
    inodes = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
    tables = [(process / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "udp", "tcp6", "udp6")]
    fields = [row.split() for table in tables for row in table]
    open_ones = [row for row in fields if row[3] in (TCP_LISTEN, UDP_UNCONNECTED)]
    return {address(row[1]) for row in open_ones if f"socket:[{row[9]}]" in inodes}


def address(text: str) -> tuple[str, int]:
    """`0100007F:5BB6` → `127.0.0.1`, 23478."""
    host, _, port = text.partition(":")
    packed = bytes.fromhex(host)
    return (socket.inet_ntoa(packed[::-1]) if len(packed) == 4 else host), int(port, 16)
