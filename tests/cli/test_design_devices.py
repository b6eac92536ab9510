"""Job 3 of the design, as it is written there: only what changed, one request per device."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.design_jobs import DEVICES
from tests.support.world import ROOT

FILE = "id;plate;carrier;active\n0042;AA-BB-CC;acme;true\n0043;;acme;false\n"


@pytest.fixture
def fleet(world):
    """The job, with the folder and the connection of this machine."""
    (world.config / "jobs/planning.yaml").unlink(missing_ok=True)
    text = DEVICES.replace("/data/fleet/devices.csv", f"{world.drop}/devices.csv")
    world.job("tracking-devices", text.replace("simacan-stg", "platform"))
    path = world.drop / "devices.csv"
    path.write_text(FILE)
    return path


def push(call, world):
    where = ("--config", world.config, "--state", world.state, "--output", "json")
    code, out, err = call("push", "tracking-devices", *where)
    assert code == 0, err
    return json.loads(out)["delivered"]


def age(path):
    """It is not touched any more: settled."""
    import os  # noqa: PLC0415

    os.utime(path, (path.stat().st_mtime - 60,) * 2)


def test_new_and_changed_devices_are_sent_and_no_others(call, world, fleet, sandbox):
    age(fleet)
    assert push(call, world) == 2
    fleet.write_text(FILE.replace("AA-BB-CC", "DD-EE-FF") + "0044;GG-HH-II;acme;true\n")
    age(fleet)
    shown = call(
        "dry-run", "tracking-devices", "--config", world.config, "--state", world.state, "--output", "json"
    )
    documents = [json.loads(request["body"]) for request in json.loads(shown[1])]
    assert documents == [
        {
            "externalSystemId": "acme-fms",
            "externalDeviceId": key,
            "customerDeviceId": key,
            "licensePlate": plate,
            "carrierCode": "acme",
            "active": True,
        }
        for key, plate in (("0042", "DD-EE-FF"), ("0044", "GG-HH-II"))
    ]
    assert push(call, world) == 2
    fleet.write_text(fleet.read_text() + "\n")
    age(fleet)
    assert push(call, world) == 0
    assert sandbox.state()["requests"]["devices"] == {"200": 4}


def test_the_example_says_the_same(world):
    example = (ROOT / "examples/jobs/tracking-devices.yaml").read_text("utf-8")
    assert re.search(r"^  only: \{changed_by: \[id\]\}", example, re.MULTILINE)
