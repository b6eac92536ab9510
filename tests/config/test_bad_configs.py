"""Each file in tests/bad_configs is told its mistakes in exactly the words beside it.

After a change of words: `WRITE_EXPECTED=1 pytest tests/config/test_bad_configs.py`, then read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.config_on_disk import OPEN_CONNECTION, ConfigFolder

HERE = Path(__file__).parents[1] / "bad_configs"
FILES = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.yaml"))
PLACES = {"jobs": "jobs/{}.yaml", "connections": "connections/{}.yaml", "agent": "agent.yaml"}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_told_all_its_mistakes_in_exact_words(name: str, config: ConfigFolder):
    kind, stem = name.removesuffix(".yaml").split("/")
    config.connection()
    config.put("connections/open.yaml", OPEN_CONNECTION)
    if stem == "broken_connection":
        config.put("connections/broken.yaml", "connection: broken\ntype: htp\n")
    config.put(PLACES[kind].format(stem), (HERE / name).read_bytes())

    told = config.told()

    expected = (HERE / name).with_suffix(".expected")
    if os.environ.get("WRITE_EXPECTED"):
        expected.write_text(told, encoding="utf-8")
    assert told == expected.read_text("utf-8")
    assert told, "a bad file without a problem"


def test_there_are_many_bad_files_and_none_without_its_expected_words():
    assert len(FILES) >= 70
    assert (
        sorted(path.with_suffix(".yaml").relative_to(HERE).as_posix() for path in HERE.glob("*/*.expected"))
        == FILES
    )
