"""What was written in the config, as frozen values. No I/O, no dict, no secret: only references.

Built by `config.build` from documents that their schema accepted; everything after the config
package works with these types and never with a dict.
"""

from __future__ import annotations

from agent.config.model.auth import (
    AnswerNames,
    Auth,
    BasicAuth,
    BearerAuth,
    Client,
    ClientCredentialsAuth,
    Dialect,
    FieldNames,
    HeaderAuth,
    LoginLimit,
    NoAuth,
    OAuthPasswordAuth,
    PasswordAuth,
    RefreshTokenAuth,
    RenewedAuth,
    TokenCommandAuth,
    TokenHeader,
    header_of,
)
from agent.config.model.body import (
    Batch,
    Body,
    Constant,
    Expr,
    JsonBody,
    JsonScalar,
    MapList,
    MapNode,
    MapObject,
    RawBody,
)
from agent.config.model.connection import Connection, Limits, Proxy, Tls
from agent.config.model.job import (
    Delivery,
    Job,
    Schedule,
    Target,
    Template,
)
from agent.config.model.place import (
    SecretRef,
    Where,
)
from agent.config.model.plan import (
    Plan,
)
from agent.config.model.settings import (
    AgentSettings,
)
from agent.config.model.source import (
    CsvSource,
    ExcelSource,
    Files,
    FileSource,
    JsonSource,
    NdjsonSource,
    Only,
    ParquetSource,
    RecordFiles,
    RecordSource,
    Source,
    files_of,
)

__all__ = [
    "AgentSettings",
    "AnswerNames",
    "Auth",
    "BasicAuth",
    "Batch",
    "BearerAuth",
    "Body",
    "Client",
    "ClientCredentialsAuth",
    "Connection",
    "Constant",
    "CsvSource",
    "Delivery",
    "Dialect",
    "ExcelSource",
    "Expr",
    "FieldNames",
    "FileSource",
    "Files",
    "HeaderAuth",
    "Job",
    "JsonBody",
    "JsonScalar",
    "JsonSource",
    "Limits",
    "LoginLimit",
    "MapList",
    "MapNode",
    "MapObject",
    "NdjsonSource",
    "NoAuth",
    "OAuthPasswordAuth",
    "Only",
    "ParquetSource",
    "PasswordAuth",
    "Plan",
    "Proxy",
    "RawBody",
    "RecordFiles",
    "RecordSource",
    "RefreshTokenAuth",
    "RenewedAuth",
    "Schedule",
    "SecretRef",
    "Source",
    "Target",
    "Template",
    "Tls",
    "TokenCommandAuth",
    "TokenHeader",
    "Where",
    "files_of",
    "header_of",
]
