from __future__ import annotations

from tests.support.world import World

JOB = """\
job: endless
schedule: {{watch: true, every: 1h}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s}}
body:
  format: json
  per: record
  map: {{a: "=list_sum(list_transform(range(id::BIGINT * 10000000), lambda q: list_sum(range(q % 100000))))"}}
target: {{connection: platform, endpoint: devices, method: POST}}
"""


def test_sec_14_an_expression_that_computes_for_ever_does_not_hold_up_a_stop(tmp_path):
    world = World(tmp_path, "http://127.0.0.1:9")
    world.job("endless", JOB.format(drop=world.drop))
    (world.drop / "a.csv").write_text("id\n7\n8\n9\n")
    world.start()
    try:
        world.until(lambda: world.live("endless")["collecting"], "the expression is computed")
        world.stop(within=20)
    finally:
        world.close()
