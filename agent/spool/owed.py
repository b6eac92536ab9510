"""What acks still have to add to the counter rows of their jobs and files, within one transaction.

Acks that are committed together mostly belong to the same few jobs and files: their sums are added up and
written once, before the commit and before anything else of the transaction is done, so nobody ever reads
a row that lags behind.

    ack · ack · ack · (pay) oldest · ack · (pay) COMMIT
"""

from __future__ import annotations

from agent.message import Message
from agent.spool import counters
from agent.spool.database import Database


def owe(db: Database, message: Message, *, good: int, receipt: int) -> None:
    """This message was delivered whole, `good` records of it; its receipt has that id."""
    jobs = db.owed_to_jobs
    sums = jobs.get(message.job)
    if sums is None:
        jobs[message.job] = [1, message.records, message.size, good, receipt]
    else:
        sums[0] += 1
        sums[1] += message.records
        sums[2] += message.size
        sums[3] += good
        sums[4] = receipt
    if message.file is None:
        return
    files = db.owed_to_files
    sums = files.get(message.file)
    if sums is None:
        files[message.file] = [1, message.records, message.size]
    else:
        sums[0] += 1
        sums[1] += message.records
        sums[2] += message.size


def pay(db: Database) -> None:
    """Write it all. Raises sqlite3.Error, and then nothing of the transaction may be committed."""
    if not db.owed_to_jobs:
        return
    for job, (gone, records, size, good, receipt) in db.owed_to_jobs.items():
        counters.settled(
            db, job, records=records, size=size, gone=gone, delivered=gone, good=good, receipt=receipt
        )
    for file, (gone, records, size) in db.owed_to_files.items():
        counters.left_file(db, file, records=records, size=size, gone=gone, delivered=gone)
    forgive(db)


def forgive(db: Database) -> None:
    """Nothing is owed: the transaction has begun, or is undone."""
    if db.owed_to_jobs:
        db.owed_to_jobs.clear()
        db.owed_to_files.clear()
