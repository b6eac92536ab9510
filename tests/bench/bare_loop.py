"""The limit for one request per record: an aiohttp loop that reads nothing, maps nothing, saves nothing.

bare_loop.py URL REQUESTS CONNECTIONS
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import aiohttp
from by_hand_rows import nested

ROW = {"recorded_at": "2026-10-27T10:00:00+02:00", "plate": "AA-001-B", "shipper": "shipper-1"}


async def main(url, count, connections):
    body = json.dumps(nested({**ROW, "lat": 52.1, "lon": 4.9, "speed_kmh": 80, "heading": 90})).encode()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        left = iter(range(count))

        async def send():
            for _ in left:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()

        started = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(connections)))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
