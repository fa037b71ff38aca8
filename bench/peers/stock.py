"""python-socketio on aiohttp as its documentation shows it: plain handlers, the options it comes with.

python stock.py PORT
"""

import sys
from datetime import UTC, datetime
from typing import Any

import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
rooms: dict[str, str] = {}


@server.on("join-space")  # type: ignore[untyped-decorator]
async def join(sid: str, data: dict[str, Any]) -> dict[str, bool]:
    rooms[sid] = f"{data['spaceType']}:{data['spaceId']}"
    await server.enter_room(sid, rooms[sid])
    return {"ok": True}


@server.on("entity-event")  # type: ignore[untyped-decorator]
async def entity_event(sid: str, data: dict[str, Any]) -> None:
    out = {"socketId": sid, "name": data["name"], "data": data["data"]}
    await server.emit("entity-event", out, room=rooms[sid], skip_sid=sid)


@server.on("aframe-update")  # type: ignore[untyped-decorator]
async def aframe_update(sid: str, data: dict[str, Any]) -> None:
    out = {"socketId": sid, "entityData": data, "timestamp": datetime.now(UTC).isoformat()}
    await server.emit("aframe-update", out, room=rooms[sid], skip_sid=sid)


if __name__ == "__main__":
    app = web.Application()
    server.attach(app)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), backlog=4096, access_log=None, print=None)
