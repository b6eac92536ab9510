"""When jobs run: `occurrences` (which moments, pure), `scheduler` (announces them), `timers` (APScheduler).

- `Scheduler` announces `due(job, time, trigger)` and owns no work.
- `Rule` is the occurrences of one `every`, `cron` or `at`.
"""

from __future__ import annotations
