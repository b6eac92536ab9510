"""The same work with dlt: rows of the CSV → a destination that posts batches. Runs in dlt's own venv.

    with_dlt.py CSV URL RECORDS_A_REQUEST rows|arrow FOLDER

dlt stores what it extracted and normalized in FOLDER before it loads.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import time

PART = 5_000
"""Rows that are handed to dlt at once."""


def main(path, url, per_request, kind, folder):
    os.environ.update(DLT_DATA_DIR=folder, RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    import dlt  # noqa: PLC0415 - it looks at the environment when it is loaded
    import orjson  # noqa: PLC0415
    import requests  # noqa: PLC0415
    from by_hand_rows import nested  # noqa: PLC0415

    session = requests.Session()

    @dlt.destination(
        batch_size=per_request,
        loader_file_format="parquet" if kind == "arrow" else "typed-jsonl",
        naming_convention="direct",
        skip_dlt_columns_and_tables=True,
        max_parallel_load_jobs=1,
        name="sink",
    )
    def sink(items, table):
        del table
        records = items.to_pylist() if kind == "arrow" else items
        headers = {"Content-Type": "application/json"}
        body = orjson.dumps([nested(one) for one in records])
        session.post(url, data=body, headers=headers, timeout=30).raise_for_status()

    started = time.perf_counter()
    positions = dlt.resource(batches(path, kind), name="positions", max_table_nesting=0)
    dlt.pipeline("bench", destination=sink, pipelines_dir=folder).run(positions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak}))


def batches(path, kind):
    if kind == "arrow":
        from pyarrow import csv as arrow  # noqa: PLC0415

        yield from arrow.open_csv(path)
        return
    with open(path, newline="") as file:  # noqa: PTH123
        part = []
        for row in csv.DictReader(file):
            part.append(row)
            if len(part) == PART:
                yield part
                part = []
        if part:
            yield part


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
