"""The shortest script by hand: csv + json + requests, one after the other. Saves nothing.

by_hand_requests.py SOURCE URL RECORDS_A_REQUEST
"""

from __future__ import annotations

import json
import resource
import sys
import time

import requests
from by_hand_rows import nested, rows


def main(source, url, per_request):
    started = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    with requests.Session() as session:

        def send(batch):
            session.post(url, data=json.dumps(batch), headers=headers, timeout=30).raise_for_status()

        batch = []
        for row in rows(source):
            batch.append(nested(row))
            if len(batch) == per_request:
                send(batch)
                batch = []
        if batch:
            send(batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
