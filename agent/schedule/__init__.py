"""When jobs run: `scheduler` (announces them), `timers` (APScheduler); which moments: `agent.occurrences`.

`Scheduler` announces `due(job, time, trigger)` and owns no work.
"""

from __future__ import annotations
