"""The table of signals against what the contracts declare."""

from typing import Any, cast

from libs.common.contracts import default_registry
from services.realtime.clients.signals import Signals
from services.realtime.clients.things import Things
from services.realtime.naf.adapter import NafAdapter

NOTHING = cast("Any", None)
COMMANDS = {"join-space", "leave-space", "joinRoom"}  # handled in the client's turn, by `clients/sockets.py`


def test_every_signal_that_clients_send_has_a_handler_and_its_struct() -> None:
    naf = NafAdapter(NOTHING, NOTHING, NOTHING, NOTHING, "")
    signals = Signals(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, naf, Things(NOTHING))
    declared = {record.name: record.payload for record in default_registry().signals if record.sent_by == "client"}
    handled = {name: form for name, (form, _) in signals.table.items()}
    assert declared.keys() - COMMANDS == handled.keys()
    assert {name: form for name, form in declared.items() if name in handled} == handled
