"""What a user would write by hand: csv + orjson + aiohttp with 8 connections. Saves nothing.

    by_hand.py SOURCE URL RECORDS_A_REQUEST CONNECTIONS

Prints one JSON line: seconds from the first row read to the last answer, and the peak memory in MB.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import aiohttp
import orjson
from by_hand_rows import nested, rows


async def main(source, url, per_request, connections):
    started = time.perf_counter()
    queue = asyncio.Queue(maxsize=2 * connections)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def send():
            while (body := await queue.get()) is not None:
                async with session.post(
                    url, data=body, headers={"Content-Type": "application/json"}
                ) as answer:
                    answer.raise_for_status()
                    await answer.read()

        senders = [asyncio.create_task(send()) for _ in range(connections)]
        batch = []
        for row in rows(source):
            batch.append(nested(row))
            if len(batch) == per_request:
                await queue.put(orjson.dumps(batch))
                batch = []
        if batch:
            await queue.put(orjson.dumps(batch))
        for _ in senders:
            await queue.put(None)
        await asyncio.gather(*senders)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
