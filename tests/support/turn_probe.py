"""A TURN client that makes one allocation and asks which peers it may reach (RFC 8489, RFC 8656).

with TurnProbe(port, username, password) as probe:  # Refused where the credentials are
    assert probe.permission("10.0.0.1") == 403
    assert probe.permission("8.8.8.8") == GRANTED
"""

import hashlib
import hmac
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

GRANTED = 0
FORBIDDEN = 403
UNAUTHORIZED = 401
QUOTA_REACHED = 486

MAGIC = 0x2112A442
UDP = b"\x11\x00\x00\x00"
IPV4, IPV6 = 1, 2
FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x4FFF
PEER_PORT = 50000
TIMEOUT_SECONDS = 5


class Method(IntEnum):
    ALLOCATE = 0x0003
    REFRESH = 0x0004
    CREATE_PERMISSION = 0x0008
    CHANNEL_BIND = 0x0009


class Attribute(IntEnum):
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    REALM = 0x0014
    NONCE = 0x0015
    REQUESTED_ADDRESS_FAMILY = 0x0017
    REQUESTED_TRANSPORT = 0x0019


class Refused(Exception):
    """The server gave no allocation."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code}")
        self.code = code


@dataclass(frozen=True)
class Answer:
    code: int  # GRANTED, or that of the error
    attributes: dict[int, bytes]


class TurnProbe:
    """One allocation of a relay address, IPv4 or IPv6, for the length of a `with`."""

    def __init__(self, port: int, username: str, password: str, family: int = IPV4, address: str = "127.0.0.1") -> None:
        self._address = (address, port)
        self._username, self._password = username, password
        self._family = family
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._channels = iter(range(FIRST_CHANNEL, LAST_CHANNEL + 1))
        self._realm = self._nonce = b""

    def __enter__(self) -> Self:
        try:
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(self._address)
            self._allocate()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ask(Method.REFRESH, attribute(Attribute.LIFETIME, struct.pack("!I", 0)))
        self._socket.close()

    def permission(self, peer: str) -> int:
        """Returns the answer to CreatePermission for the peer."""
        transaction = os.urandom(12)
        return self._ask(Method.CREATE_PERMISSION, peer_address(peer, transaction), transaction).code

    def channel(self, peer: str) -> int:
        """Returns the answer to ChannelBind of a fresh channel to the peer."""
        transaction = os.urandom(12)
        number = attribute(Attribute.CHANNEL_NUMBER, struct.pack("!HH", next(self._channels), 0))
        return self._ask(Method.CHANNEL_BIND, number + peer_address(peer, transaction), transaction).code

    def _allocate(self) -> None:
        wanted = attribute(Attribute.REQUESTED_TRANSPORT, UDP)
        wanted += attribute(Attribute.REQUESTED_ADDRESS_FAMILY, bytes([self._family, 0, 0, 0]))
        challenge = self._ask(Method.ALLOCATE, wanted)  # the first one tells realm and nonce
        self._realm, self._nonce = (challenge.attributes[name] for name in (Attribute.REALM, Attribute.NONCE))
        answer = self._ask(Method.ALLOCATE, wanted)
        if answer.code != GRANTED:
            raise Refused(answer.code)

    def _ask(self, method: Method, body: bytes, transaction: bytes | None = None) -> Answer:
        transaction = transaction or os.urandom(12)
        if self._nonce:
            body = self._signed(method, body, transaction)
        self._socket.send(header(method, len(body), transaction) + body)
        while True:
            message = self._socket.recv(2048)
            if message[8:20] == transaction:
                return read(message)

    def _signed(self, method: Method, body: bytes, transaction: bytes) -> bytes:
        username = self._username.encode()
        for name, value in ((Attribute.USERNAME, username), (Attribute.REALM, self._realm)):
            body += attribute(name, value)
        body += attribute(Attribute.NONCE, self._nonce)
        key = hashlib.md5(b":".join((username, self._realm, self._password.encode()))).digest()
        counted = header(method, len(body) + 24, transaction) + body  # the length includes the signature's 24 bytes
        return body + attribute(Attribute.MESSAGE_INTEGRITY, hmac.digest(key, counted, "sha1"))


def header(method: Method, length: int, transaction: bytes) -> bytes:
    return struct.pack("!HHI", method, length, MAGIC) + transaction


def attribute(name: Attribute, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + b"\0" * padding(len(value))


def padding(length: int) -> int:
    return -length % 4


def peer_address(peer: str, transaction: bytes) -> bytes:
    """XOR-PEER-ADDRESS; an IPv6 address is mixed with the transaction too."""
    address = ipaddress.ip_address(peer)
    mask = struct.pack("!I", MAGIC) + transaction
    mixed = bytes(left ^ right for left, right in zip(address.packed, mask, strict=False))
    family = IPV4 if address.version == 4 else IPV6
    return attribute(Attribute.XOR_PEER_ADDRESS, struct.pack("!BBH", 0, family, PEER_PORT ^ (MAGIC >> 16)) + mixed)


def read(message: bytes) -> Answer:
    attributes: dict[int, bytes] = {}
    place = 20
    while place < len(message):
        name, length = struct.unpack_from("!HH", message, place)
        attributes.setdefault(name, message[place + 4 : place + 4 + length])
        place += 4 + length + padding(length)
    error = attributes.get(Attribute.ERROR_CODE)
    return Answer(error[2] * 100 + error[3] if error else GRANTED, attributes)
