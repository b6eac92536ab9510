"""From sources to the spool: when a job is due, its files are read once each and spooled durably.

collector    which runs start, wait, are skipped or quarantined
catch_up     a run over windows of time: all that are due, in order; windows: which ones
backfills    windows of the past, by a person's wish; asked: what was meant
worker       a run in its thread; slots: how many work at the same moment
run          one run: how, by the kind of its source
by_file      a run over files: list, decide, render, append; known: what was sent for each key
by_log       a run over growing logs: what was added to them
by_query     a run over the result of a query, behind its cursor
by_page      a run over documents that are asked for: an HTTP API's pages, a program's output
intake       chunks into the spool, each with the cursor in the same transaction
files        which file is new, known, a duplicate; how far one was read when the process died
    bad          a bad record as a dead letter
    room         what a run does while the spool is full
"""

from __future__ import annotations

from agent.collect.backfills import Backfills
from agent.collect.collector import Collector
from agent.collect.result import RunResult
from agent.collect.run import collect_job
from agent.collect.tally import CollectSnapshot

__all__ = ["Backfills", "CollectSnapshot", "Collector", "RunResult", "collect_job"]
