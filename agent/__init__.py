"""push-agent: drop a YAML file into a folder; the data arrives at the platform.

A schedule says when; collect reads a source, maps its records to bodies and puts them into the
spool; deliver takes them from the spool, in order, to the target, signed in by the session; reload
swaps the plan when a file changes.

    commands/       the subcommands; one handler turns errors into exit codes
    errors.py       the exception tree
    logs.py         structured logs; clock.py: time, passed in
    config/         file → frozen values: find, read, scan, check, build, relate
    databases/      SQL sources: a query → Arrow batches
    sources/        one file per kind of source; duck.py: the locked-down DuckDB
    mapping/        map tree → SQL text, a file per format
    render.py       a source file → drafts (bodies ready to send); bodies.py cuts the batches
    contracts/      what a target takes: JSON Schema, XSD; `body.schema`
    testing/        job tests: given records, expected requests
    collect/        one run: render → spool, the cursor in the same transaction; windows of time, backfills
    parts.py        a body taken apart into its records, and what of a message is still to be sent
    spool/          the durable state: messages, receipts, dead letters, runs, cursors, sessions
    deliver/        a lane: oldest message, attempt, then ack, wait, split or dead letter
    receipt_keys.py what is kept of the keys of records, by which receipts are found
    request.py      message + route → the exact HTTP request
    target.py       one HTTP attempt → Outcome; the only table of status codes
    pull/           documents that are asked for: an HTTP API's pages, a program's output
    programs.py     running a program of the config; warden.py: leaves nothing of it behind
    connections.py  an open connection: session, client, limits
    tls.py          certificates → an SSL context; tls_files.py: renewed ones are taken over
    pacing/         the gate: turns, rate, concurrency, circuits, what answers ask for; backoff
    auth/           the session: one rotating token for every job of a connection
    pauses/         what a person has paused, kept over restarts
    following.py    how far jobs are on their way out (`push --wait`); draining.py: until nothing is left
    finding.py      what became of a record, for who asks the daemon; trace.py: as a value
    levels.py       says once that the spool is nearly full; limit.py: how much may wait; disk.py: for acks
    custody.py      refresh, login, forget by hand; rekey.py: from one key of the vault to the next
    doctor/         why signing in does not work, step by step; harmless.py: one signed HEAD
    letters.py      dead letters by hand: sent again, dropped, edited
    finish.py       a file is moved when what it held was delivered or refused
    moving.py       that very file, whole, over file systems; copying.py, naming.py, renaming.py: its steps
    schedule/       announces `due(job, time)`; occurrences.py: which moments a schedule means
    reload/         watch, settle, load, prepare, fence, swap
    daemon.py       wiring and life; loop.py: the event loop
    together.py     keeps the loop and the spool's thread on one core while both work; cores.py: all others
    state_path.py   where the state lies, found out quickly
    status.py       what is going on, as values (status_parts.py, standing.py); web/ shows it: pages, metrics,
                    control socket
    phrases.py      numbers and times in words
    systemd.py      sd_notify
    sandbox/        a local stand-in of the platform
"""

from __future__ import annotations

__version__ = "0.1.0"
