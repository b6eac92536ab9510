"""The house stays liveable: sizes, homes of libraries, and words that the docs must know."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.commands import COMMANDS

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "agent").rglob("*.py"))
MOST_LINES = 300
MOST_STATEMENT_LINES = 60

# third-party package → the only places that may import it (docs/DEPENDENCIES.md tells the why)
HOMES = {
    "aiohttp": ("agent/target", "agent/auth/", "agent/web/", "agent/sandbox/"),
    "alembic": ("agent/spool/",),
    "apscheduler": ("agent/schedule/",),
    "click": ("agent/commands/",),
    "cronsim": ("agent/occurrences.py",),
    "cryptography": ("agent/auth/vault.py", "agent/doctor/certificates.py", "agent/tls.py"),
    "adbc_driver_manager": ("agent/databases/",),
    "adbc_driver_postgresql": ("agent/databases/",),
    "adbc_driver_sqlite": ("agent/databases/",),
    "duckdb": ("agent/sources/", "agent/render", "agent/check.py"),
    "isal": ("agent/bodies.py", "agent/target", "agent/sandbox/", "agent/sources/file.py"),
    "jsonschema": ("agent/config/",),
    "jsonschema_rs": ("agent/contracts/",),
    "lxml": ("agent/contracts/",),
    "prometheus_client": ("agent/web/",),
    "pyarrow": ("agent/sources/", "agent/bodies.py", "agent/render", "agent/databases/"),
    "python_calamine": ("agent/sources/excel.py", "agent/sources/workbook.py"),
    "rich": ("agent/commands/",),
    "sqlalchemy": ("agent/spool/", "agent/databases/others.py"),
    "uvloop": ("agent/loop.py",),
    "watchdog": ("agent/watch",),
    "yaml": ("agent/config/",),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_imports_only_what_lives_there(path):
    name = str(path.relative_to(ROOT))
    assert len(path.read_text().splitlines()) <= MOST_LINES
    strangers = [
        package
        for package in set(imports(path))
        if package in HOMES and not any(name.startswith(home) for home in HOMES[package])
    ]
    assert not strangers, f"{name} imports {strangers}, whose home is elsewhere"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_fits_a_screen(path):
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MOST_STATEMENT_LINES
    ]
    assert not long


def test_a_daemon_begins_without_what_only_records_need():
    """Whole-file jobs never load it: it is a quarter of an idle daemon's memory."""
    look = (
        "import sys, agent.daemon; print(*{'pyarrow', 'duckdb', 'jsonschema', 'alembic'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_nothing_is_called_utils():
    assert not [path for path in MODULES if path.stem in {"utils", "util", "helpers", "misc", "common"}]


def test_sec_22_nothing_is_pickled():
    """What lies in the state or comes from outside must not be able to run anything."""
    banned = {"pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}
    stores = re.compile(r"apscheduler\.jobstores\.(?!memory\b)|SQLAlchemyJobStore|add_jobstore")
    assert [path.name for path in MODULES if banned & set(imports(path))] == []
    assert [path.name for path in MODULES if stores.search(path.read_text())] == []


def test_sec_20_every_dependency_has_its_line_and_reason():
    text = (ROOT / "docs/DEPENDENCIES.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [entry.split(">")[0].split("[")[0].strip() for entry in project["dependencies"]]
    assert [name for name in names if f"| {name}" not in text] == []


def test_every_command_and_every_setting_is_in_the_reference():
    text = (ROOT / "docs/REFERENCE.md").read_text()
    assert [word for word in COMMANDS if f"push-agent {word}" not in text] == []
    missing = []
    for kind in ("agent", "connection", "job"):
        schema = json.loads((ROOT / f"schemas/{kind}.schema.json").read_text())
        missing += [name for name in property_names(schema) if f"`{name}`" not in text]
    assert missing == []


def property_names(schema):
    """The names of all properties anywhere in a schema."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties":
                yield from value
            yield from property_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from property_names(value)
