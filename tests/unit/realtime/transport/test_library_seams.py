"""What `services/realtime/transport/server.py` changes of python-socketio was read in these versions.

A failure here means: read the new source, look whether the module is still right, then write the new digest.
"""

import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import engineio
import pytest
import socketio
from aiohttp import web, web_ws
from engineio.async_drivers.aiohttp import WebSocket
from engineio.async_socket import AsyncSocket
from socketio.packet import ACK

from services.realtime.transport.engine import MOST_WAITING_BYTES, new_socket_id

READ_IN = {"python-socketio": "5.18.1", "python-engineio": "4.15.1"}


def digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("distribution", "read"), READ_IN.items())
def test_the_libraries_are_the_ones_that_were_read(distribution: str, read: str) -> None:
    assert version(distribution) == read


@pytest.mark.parametrize(
    ("function", "read"),
    [
        (socketio.AsyncServer._handle_eio_message, "bef50fc0e1635921"),
        (socketio.AsyncServer._handle_connect, "c97c480cf777de36"),
        (socketio.AsyncServer._handle_event, "65178105ef8b593d"),
        (socketio.AsyncServer._handle_eio_connect, "76704886d944a7e6"),
        (socketio.AsyncServer._send_packet, "a00022b42c1c29e9"),
        (socketio.AsyncServer._engineio_server_class, "199c42bf149247e0"),
        (engineio.AsyncServer._handle_connect, "5bd7edc1d1ae115a"),
        (engineio.AsyncServer._trigger_event, "4a09b6e47eb66532"),
        (engineio.AsyncServer._make_response, "5f883ef57e34f34c"),
        (engineio.AsyncServer.disconnect, "8bb6448caae41ca6"),
        (engineio.AsyncServer.handle_request, "1a8c878e35166cfe"),
        (AsyncSocket.handle_get_request, "05eaae9f0a60d9be"),
        (AsyncSocket.handle_post_request, "82dca119a261a959"),
        (AsyncSocket._websocket_handler, "27f120df4d717a24"),
        (AsyncSocket.send, "0437276ccba7ab09"),
        (AsyncSocket.close, "faa2e93902543244"),
        (AsyncSocket.receive, "a91ae36ec2fb5340"),
        (AsyncSocket.check_ping_timeout, "77616d5ca7809257"),
        (WebSocket.__call__, "71f9a94476d737c3"),
        (web.WebSocketResponse._post_start, "5537cb3f2ecae6ed"),
        (engineio.AsyncServer.generate_id, "b6a591454237c0bb"),
    ],
)
def test_library_code_that_is_overridden_or_called_reads_as_it_did(function: Callable[..., Any], read: str) -> None:
    assert digest(function) == read


def test_an_ack_is_packet_type_three_of_the_protocol() -> None:
    assert ACK == 3


def test_socket_ids_name_their_replica_and_never_repeat() -> None:
    ids = {new_socket_id("r1", "life") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(socket_id.startswith("r1-life-") for socket_id in ids)


def test_a_connection_keeps_few_bytes_that_nobody_has_read_yet() -> None:
    assert getattr(web_ws, "DEFAULT_CHUNK_SIZE", None) == MOST_WAITING_BYTES
    assert "DEFAULT_CHUNK_SIZE" in inspect.getsource(web.WebSocketResponse._post_start)
