"""A server with limits of a test's own: `python impatient.py FOLDER LIMITS-AS-JSON`; prints its address."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import msgspec
import uvicorn

from cmf.stores.sqlite import SqliteStore
from cmf_api.app import create_app
from cmf_api.connections import guarded, room_for
from cmf_api.limits import Limits
from cmf_api.settings import ServerSettings

folder = Path(sys.argv[1])
limits = room_for(msgspec.json.decode(sys.argv[2], type=Limits))
app = create_app(ServerSettings(home=folder, limits=limits), SqliteStore(folder / "graph.db", durable=False))
listening = socket.create_server(("127.0.0.1", 0))
config = uvicorn.Config(app, log_level="warning", access_log=False, http=guarded(limits), ws="none")
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(config).run([listening])
