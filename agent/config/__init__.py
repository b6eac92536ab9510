"""Config: files → frozen values.

    files      which files there are, and their bytes; refuses what others may write
    document   bytes → a tree with positions, from YAML events; scalars, syntax: its words
    schema     the tree against `schemas/*.json`; accept: its short way; words: what its errors mean
    view       the tree with the words of the model; units: 30s, 1MB, 10/s
    build_*    the tree → the model's values; map_tree, urls, cron: their checks
    relate     what one file says about another
    load       the steps in order, file by file, with last good versions
    secrets    references → values, at the moment of use
    model      the values

What stands outside of `agent.config` works with values and never with a dict.
"""

from __future__ import annotations

from agent.config.load import Known, Loaded, load, load_settings
from agent.config.piece import Accepted
from agent.config.secrets import Secret, SecretStore, check_secrets

__all__ = ["Accepted", "Known", "Loaded", "Secret", "SecretStore", "check_secrets", "load", "load_settings"]
