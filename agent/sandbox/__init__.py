"""A local stand-in of the platform: Auth API, target APIs, faults on demand.

serve.py      Sandbox (in an event loop), sandbox_in_thread
settings.py   how it behaves
app.py        which path belongs to what; admin.py: `/_sandbox/…`
calls.py      one request from its head to its answer
signin.py     the Auth API's dialect; oauth.py: RFC 6749; tokens.py: issue, rotate, expire, detect reuse
targets.py    what each target API takes and refuses; realisation.py: the XML one, as realisation.xsd has it
faults.py     what goes wrong on demand
ledger.py     what was received; body.py: unpack, count, hash; record.py: as JSON lines
state.py      the sums
"""

from __future__ import annotations

from agent.sandbox.faults import Fault
from agent.sandbox.ledger import Received
from agent.sandbox.serve import Sandbox, ThreadSandbox, sandbox_in_thread
from agent.sandbox.settings import Settings
from agent.sandbox.state import State

__all__ = ["Fault", "Received", "Sandbox", "Settings", "State", "ThreadSandbox", "sandbox_in_thread"]
