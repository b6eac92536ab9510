from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.config import load
from agent.config.map_tree import build_template
from agent.config.model import (
    AgentSettings,
    AnswerNames,
    BasicAuth,
    BearerAuth,
    ByKey,
    ClientCredentialsAuth,
    Constant,
    CsvSource,
    Dialect,
    Expire,
    Expr,
    FieldNames,
    FileSource,
    HeaderAuth,
    JsonBody,
    JsonSource,
    LoginLimit,
    MapList,
    MapObject,
    NdjsonSource,
    NoAuth,
    OAuthPasswordAuth,
    ParquetSource,
    PasswordAuth,
    RawBody,
    RefreshTokenAuth,
    Schedule,
    Strict,
    Tls,
    TokenCommandAuth,
    TokenHeader,
    Unordered,
    Where,
    log_of,
)
from agent.config.secrets import references
from agent.config.urls import is_open, origin, trouble
from agent.config.view import Findings
from tests.support.config_on_disk import ConfigFolder

WHERE = Where(file="x", line=1, column=1, path="target.path")
JOB = """\
job: x
schedule: {schedule}
source: {source}
body: {body}
target: {target}
"""
DEFAULTS = {
    "schedule": "{every: 30s}",
    "source": "{type: csv, path: data/*.csv}",
    "body": "{format: json, per: record}",
    "target": "{connection: stg, endpoint: planning}",
}


def job_of(config: ConfigFolder, extra: str = "", **parts: str):
    config.connection()
    config.put("jobs/x.yaml", JOB.format(**{**DEFAULTS, **parts}) + extra)
    loaded = config.load()
    assert not loaded.problems, loaded.problems
    return loaded.plan.jobs["x"]


def connection_of(config: ConfigFolder, text: str):
    config.put("connections/c.yaml", "connection: c\ntype: http\n" + text)
    loaded = config.load()
    assert not loaded.errors, loaded.errors
    return loaded.plan.connections["c"]


def test_what_is_not_written_has_the_defaults_of_the_model(config):
    job = job_of(config, body="{format: json}")
    assert job.schedules == (Schedule(every=timedelta(seconds=30), where=WHERE),)
    assert isinstance(job.source, CsvSource)
    assert (job.source.reread, job.source.on_bad_row, job.source.delimiter) == ("changed", "fail", ",")
    assert (job.source.header, job.source.encoding, job.source.sniff, job.source.types) == (
        True,
        "utf-8",
        False,
        {},
    )
    assert job.source.files.settle == timedelta(seconds=2)
    assert job.body == JsonBody()
    assert (job.batch.records, job.batch.bytes) == (500, 1_000_000)
    assert (job.target.method, job.target.timeout) == ("POST", timedelta(seconds=30))
    assert job.target.success == frozenset(range(200, 300))
    assert (job.delivery.order, job.delivery.on_misdirected) == (Strict(), "wait")
    assert (job.delivery.on_refusal, job.target.reply) == ("dead_letter", None)


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_log_that_grows_arrives(config, kind):
    source = job_of(config, source=f"{{type: {kind}, path: /var/log/app.*, reread: appended}}").source
    assert source.reread == "appended"
    assert log_of(source) is source
    assert source.files.settle == timedelta(0)
    assert log_of(job_of(config).source) is None


def test_order_and_expiry_arrive_in_their_values(config):
    delivery = "delivery: {order: {by: '= plate || id', lanes: 4}, expire: {after: 30m, of: =recorded_at}}\n"
    order, expire = (found := job_of(config, extra=delivery).delivery).order, found.expire
    assert isinstance(order, ByKey)
    assert (order.expr.sql, order.expr.where.path, order.lanes) == ("plate || id", "delivery.order.by", 4)
    assert isinstance(expire, Expire)
    assert (expire.after, expire.of.sql, expire.of.where.path) == (
        timedelta(minutes=30),
        "recorded_at",
        "delivery.expire.of",
    )
    plain = job_of(config, extra="delivery: {order: none, expire: {after: 4h}}\n").delivery
    assert (plain.order, plain.expire) == (Unordered(), Expire(after=timedelta(hours=4)))
    assert job_of(config, extra="delivery: {order: {by: =plate}}\n").delivery.order.lanes == 16


def test_what_an_answer_says_of_each_record_arrives_in_its_values(config):
    def reply(text):
        target = f"{{connection: stg, endpoint: planning, reply: {text}}}"
        return job_of(config, target=target, extra="delivery: {on_refusal: stop}\n")

    job = reply('{items: "", error: /error, retry: {at: /code, values: [429, BUSY, true]}}')
    assert job.delivery.on_refusal == "stop"
    found = job.target.reply
    assert (found.items, found.match, found.listed, found.unreadable) == ("", "position", "all", "wait")
    assert (found.error, found.ok, found.where.path) == ("/error", None, "target.reply")
    assert (found.retry.at, found.retry.values) == ("/code", {"429", "BUSY", "true"})
    found = reply(
        "{items: /failed, match: key, key: /id, listed: errors, unreadable: delivered}"
    ).target.reply
    assert (found.match, found.key, found.record) == ("key", "/id", "/id")
    assert (found.listed, found.unreadable) == ("errors", "delivered")
    found = reply(
        "{items: /a, match: key, key: /id, record: /tripId, ok: {at: /s, values: [1]}}"
    ).target.reply
    assert (found.record, found.ok.values) == ("/tripId", {"1"})


def test_a_layout_is_another_one_when_a_key_may_come_into_another_lane(config):
    orders = ["strict", "none", "{by: =plate}", "{by: =plate, lanes: 8}", "{by: =id}"]
    layouts = [
        job_of(config, extra=f"delivery: {{order: {order}}}\n").delivery.order.layout for order in orders
    ]
    assert len({layout.name for layout in layouts}) == len(orders)
    assert [layout.lanes for layout in layouts] == [1, 64, 16, 8, 16]
    assert (
        job_of(config, extra="delivery: {order: {by: '= plate', lanes: 16}}\n").delivery.order.layout
        == layouts[2]
    )


def test_all_of_a_job_that_can_be_written_arrives_in_its_values(config):
    job = job_of(
        config,
        schedule='[{every: 5m, watch: true, jitter: 10s, overlap: queue}, {cron: "0 5 * * *", missed: all, dst: skip}, '
        '{at: ["06:00", "2026-12-01T06:00:00Z"], timezone: Europe/Amsterdam}, {watch: true}]',
        source="{type: csv, path: [/a/*.csv, b.csv], settle: 0s, order: [name], done: {move: ok/}, failed: {move: /bad},"
        ' reread: always, on_bad_row: dead_letter, columns: [a, b], types: {a: "DECIMAL(10,2)"}, delimiter: "\\t",'
        ' quote: "\'", header: false, encoding: latin-1}',
        target='{connection: stg, endpoint: planning, path: "/d/{id}?x={{1}}", method: PUT, success: [200, 409],'
        ' timeout: {total: 1m, connect: 2s}, headers: {X-A: "a{b}c", X-B: fix}}',
        extra="delivery: {order: strict, on_misdirected: dead_letter}\ndescription: words\n",
    )
    every, cron, at, watch = job.schedules
    assert (every.every, every.watch, every.jitter, every.overlap) == (
        timedelta(minutes=5),
        True,
        timedelta(seconds=10),
        "queue",
    )
    assert (cron.cron, cron.missed, cron.dst) == ("0 5 * * *", "all", "skip")
    assert (at.at, at.timezone) == (("06:00", "2026-12-01T06:00:00Z"), "Europe/Amsterdam")
    assert watch.watch
    assert watch.where.path == "schedule[3]"
    source = job.source
    assert source.files.paths == ("/a/*.csv", str(Path.cwd() / "b.csv"))
    assert (source.files.order, source.files.done, source.files.failed) == (("name",), "ok/", "/bad")
    assert source.files.settle == timedelta(0)
    assert (source.reread, source.on_bad_row, source.columns) == ("always", "dead_letter", ("a", "b"))
    assert source.types == {"a": "DECIMAL(10,2)"}
    assert (source.delimiter, source.quote, source.header, source.encoding) == ("\t", "'", False, "latin-1")
    target = job.target
    assert [part.sql if isinstance(part, Expr) else part for part in target.path.parts] == [
        "/d/",
        "id",
        "?x={1}",
    ]
    assert (target.method, target.success) == ("PUT", {200, 409})
    assert (target.timeout, target.connect_timeout) == (timedelta(minutes=1), timedelta(seconds=2))
    assert [name for name, _ in target.headers] == ["X-A", "X-B"]
    assert target.headers[1][1].fixed == "fix"
    assert target.headers[0][1].fixed is None
    assert job.delivery.on_misdirected == "dead_letter"


@pytest.mark.parametrize(
    ("kind", "made"), [("ndjson", NdjsonSource), ("json", JsonSource), ("parquet", ParquetSource)]
)
def test_each_kind_of_source_has_its_own_value(config, kind, made):
    source = job_of(config, source=f"{{type: {kind}, path: /d/*, types: {{a: BIGINT}}}}").source
    assert type(source) is made
    assert source.types == {"a": "BIGINT"}


def test_a_whole_file_is_a_file_source_with_a_raw_body(config):
    job = job_of(
        config,
        source="{type: file, path: /d/*, once_per: path, columns: [a], delimiter: ;}",
        body="{format: raw, content_type: text/csv; charset=utf-8}",
    )
    assert isinstance(job.source, FileSource)
    assert (job.source.once_per, job.source.columns, job.source.delimiter) == ("path", ("a",), ";")
    assert job.body == RawBody(content_type="text/csv; charset=utf-8")


def test_types_auto_asks_for_sniffing(config):
    source = job_of(config, source="{type: csv, path: /d/*, types: auto}").source
    assert source.sniff
    assert source.types == {}


def test_the_map_keeps_its_shape_its_order_and_the_place_of_each_expression(config):
    tree = job_of(
        config,
        body='\n  format: json\n  per: record\n  map:\n    z: =a + 1\n    a: ["==x", =b, 1.5, null, true, "007"]\n    e: {}\n    "k.x": "= c "',
    ).body.map
    assert tree == MapObject(
        items=(
            ("z", Expr(sql="a + 1", where=WHERE)),
            (
                "a",
                MapList(
                    items=(
                        Constant(value="=x"),
                        Expr(sql="b", where=WHERE),
                        Constant(value=1.5),
                        Constant(value=None),
                        Constant(value=True),
                        Constant(value="007"),
                    )
                ),
            ),
            ("e", MapObject(items=())),
            ("k.x", Expr(sql="c", where=WHERE)),
        )
    )
    places = [
        (e.where.path, e.where.line, e.where.column)
        for e in (tree.items[0][1], tree.items[1][1].items[1], tree.items[3][1])
    ]
    assert places == [("body.map.z", 8, 8), ("body.map.a[1]", 9, 16), ('body.map."k.x"', 11, 12)]


def test_a_map_may_be_one_expression_or_a_list(config):
    assert job_of(config, body='{format: json, per: record, map: "=x"}').body.map == Expr(
        sql="x", where=WHERE
    )
    assert isinstance(job_of(config, body='{format: json, per: record, map: ["=x"]}').body.map, MapList)


def test_a_path_may_begin_with_what_a_record_says(config):
    target = '{connection: stg, endpoint: planning, path: "/{id}/position"}'
    path = job_of(config, target=target, body="{format: json, per: record}").target.path
    assert [part.sql if isinstance(part, Expr) else part for part in path.parts] == ["/", "id", "/position"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/a", ["/a"]),
        ("{a}", [("a",)]),
        ("/a/{b}/{c}", ["/a/", ("b",), "/", ("c",)]),
        ("{{a}}", ["{a}"]),
        ("{a}{b}", [("a",), ("b",)]),
        ("{ {'x': a}['x'] }", [("{'x': a}['x']",)]),
        ("{a || '}'}", [("a || '}'",)]),
        ('{"odd } name"}', [('"odd } name"',)]),
        ("{=a}", [("a",)]),
        ("", []),
    ],
)
def test_templates_are_texts_and_expressions(text, parts):
    found = Findings()
    made = build_template(text, WHERE, found)
    assert not found.problems
    assert [(part.sql,) if isinstance(part, Expr) else part for part in made.parts] == parts


@pytest.mark.parametrize("text", ["{", "{a", "}", "a}", "{}", "{ }", "{'a}", "{{}"])
def test_braces_that_do_not_fit_are_told(text):
    found = Findings()
    build_template(text, WHERE, found)
    assert len(found.problems) == 1


def test_each_way_to_sign_in_has_its_own_value(config):
    assert connection_of(config, "").auth == NoAuth()
    assert connection_of(config, "auth: {type: none}\n").auth == NoAuth()
    basic = connection_of(config, "auth: {type: basic, username: u, password: {env: P}}\n").auth
    assert isinstance(basic, BasicAuth)
    assert (basic.username, basic.password.kind, basic.password.name) == ("u", "env", "P")
    bearer = connection_of(config, "auth: {type: bearer, token: {file: /t}}\n").auth
    assert isinstance(bearer, BearerAuth)
    assert (bearer.token.kind, bearer.token.name, bearer.token.where.path) == ("file", "/t", "auth.token")
    header = connection_of(config, "auth: {type: header, name: X-Api-Key, value: {secret: k}}\n").auth
    assert isinstance(header, HeaderAuth)
    assert header.name == "X-Api-Key"


def test_the_password_dialect_has_the_defaults_of_the_design(config):
    text = "auth: {type: password, url: https://a.example.com/v1/, username: {secret: u}, password: {secret: p}%s}\n"
    auth = connection_of(config, text % "").auth
    assert isinstance(auth, PasswordAuth)
    assert (auth.url, auth.login_path, auth.refresh_path) == (
        "https://a.example.com/v1",
        "/auth/password",
        "/auth/refresh",
    )
    assert (auth.login_again_on, auth.renew_before, auth.login_limit) == (
        {401},
        timedelta(seconds=60),
        LoginLimit(),
    )
    auth = connection_of(
        config,
        text
        % ", login_path: /l, refresh_path: /r, login_again_on: [400, 401], renew_before: 5m, login_limit: {failures: 1, pause: 1h}",
    ).auth
    assert (auth.login_path, auth.refresh_path, auth.login_again_on) == ("/l", "/r", {400, 401})
    assert auth.login_limit == LoginLimit(failures=1, pause=timedelta(hours=1))
    assert auth.renew_before == timedelta(minutes=5)


TOKEN_URL = "https://a.example.com/token?tenant=1"


def test_oauth_password_has_the_defaults_of_the_rfc_and_takes_all_that_can_be_written(config):
    text = f"auth: {{type: oauth_password, url: '{TOKEN_URL}', username: u, password: {{secret: p}}%s}}\n"
    auth = connection_of(config, text % "").auth
    assert isinstance(auth, OAuthPasswordAuth)
    assert (auth.url, auth.client, auth.scope, auth.audience) == (TOKEN_URL, None, "", "")
    assert (auth.login_again_on, auth.dialect) == ({"invalid_grant"}, Dialect())
    auth = connection_of(
        config,
        text
        % ", client: {id: c, secret: {env: S}, send: body}, scope: a b, audience: x, extra: {k: v, s: {secret: other}}, "
        "login_again_on: [401, gone], send: json, fields: {username: user, client_id: cid}, "
        "answer: {access_token: /a/b}, header: {name: X-T, prefix: ''}",
    ).auth
    assert auth.client is not None
    assert auth.client.secret is not None
    assert (auth.client.id, auth.client.secret.name, auth.client.send) == ("c", "S", "body")
    assert (auth.scope, auth.audience, auth.login_again_on) == ("a b", "x", {401, "gone"})
    dialect = auth.dialect
    assert (dialect.send, dialect.fields) == ("json", FieldNames(username="user", client_id="cid"))
    assert (dialect.extra["k"], dialect.extra["s"].name) == ("v", "other")
    assert dialect.answer == AnswerNames(access_token="/a/b")
    assert dialect.header == TokenHeader(name="X-T", prefix="")
    assert dialect.header.of("t") == {"X-T": "t"}


def test_the_other_grants_arrive_in_their_values(config):
    auth = connection_of(
        config,
        f"auth: {{type: client_credentials, url: '{TOKEN_URL}', client: {{id: {{secret: i}}}}, scope: s, renew_before: 5s}}\n",
    ).auth
    assert isinstance(auth, ClientCredentialsAuth)
    assert (auth.client.id.name, auth.client.secret, auth.client.send) == ("i", None, "basic")
    assert auth.renew_before == timedelta(seconds=5)
    auth = connection_of(
        config,
        f"auth: {{type: refresh_token, url: '{TOKEN_URL}', refresh_token: {{secret: r}}, extra: {{audience: a}}}}\n",
    ).auth
    assert isinstance(auth, RefreshTokenAuth)
    assert (auth.refresh_token.name, auth.client, auth.dialect.extra) == ("r", None, {"audience": "a"})
    auth = connection_of(
        config, "auth: {type: token_command, command: [/bin/t, ''], timeout: 1s, environment: []}\n"
    ).auth
    assert isinstance(auth, TokenCommandAuth)
    assert (auth.command, auth.timeout, auth.environment) == (("/bin/t", ""), timedelta(seconds=1), ())
    assert auth.where is not None
    assert auth.where.path == "auth.command[0]"


def test_all_secrets_of_a_grant_are_known_by_their_place(config):
    made = connection_of(
        config,
        f"auth: {{type: oauth_password, url: '{TOKEN_URL}', username: {{secret: a}}, password: {{secret: b}}, "
        "client: {id: {secret: c}, secret: {secret: d}}, extra: {x: {secret: e}, y: text}}\n",
    )
    places = [(ref.name, ref.where.path) for ref in references(made)]
    assert places == [
        ("a", "auth.username"),
        ("b", "auth.password"),
        ("c", "auth.client.id"),
        ("d", "auth.client.secret"),
        ("e", "auth.extra.x"),
    ]


def test_all_of_a_connection_that_can_be_written_arrives_in_its_values(config):
    made = connection_of(
        config,
        "url: https://api.example.com/v1/\nendpoints: {a: https://a.example.com/x}\nlimits: {rate: 600/m, concurrency: 2}\n"
        "accepts: {gzip: true}\ntls: {ca: ca.pem, certificate: /c.pem, key: k.pem}\ndescription: words\n",
    )
    assert (made.base, made.endpoints, made.accepts_gzip) == (
        "https://api.example.com/v1",
        {"a": "https://a.example.com/x"},
        True,
    )
    assert (made.limits.rate, made.limits.concurrency) == (10, 2)
    assert made.tls == Tls(ca=Path.cwd() / "ca.pem", certificate=Path("/c.pem"), key=Path.cwd() / "k.pem")


def test_all_settings_arrive(config):
    config.put(
        "agent.yaml",
        "state: /s\nweb: {listen: '[::1]:0'}\nlog: {level: debug, format: json}\nspool: {max_bytes: 1GiB}\n"
        "receipts: {keep: 1d}\ncollect: {memory: 64MiB, threads: 1, concurrency: 3}\n",
    )
    assert config.load().plan.settings == AgentSettings(
        state=Path("/s"), listen=("::1", 0), log_level="debug", log_format="json", spool_max_bytes=2**30,
        receipts_keep=timedelta(days=1), collect_memory=2**26, collect_threads=1, collect_concurrency=3,
    )  # fmt: skip
    config.put("agent.yaml", "web: {listen: off}\n")
    loaded = config.load()
    assert loaded.plan.settings.listen is None
    assert not loaded.problems


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://api.example.com", True), ("http://127.0.0.1:8080", False), ("http://127.9.9.9", False), ("http://[::1]:1", False),
        ("http://localhost:1", False), ("http://a.localhost", False), ("HTTP://10.0.0.1", True), ("https://api.example.com", False),
        ("http://127.0.0.1.example.com", True), ("http://localhost.example.com", True), ("http://0.0.0.0", True),
        ("http://[::ffff:10.0.0.1]", True), ("http://2130706433", True),
        # SEC-07: other ways to write an address, which a resolver would take for this machine or for the cloud's
        ("http://127.1", True), ("http://0x7f.1", True), ("http://0177.0.0.1", True), ("http://0", True),
        ("http://[::ffff:169.254.169.254]", True), ("http://169.254.169.254", True), ("http://[::]", True),
        ("http://localhost.", False), ("http://LOCALHOST", False), ("http://localhost.example.com.", True),
        ("http://xn--localhost-", True), ("http://localhostx", True), ("http://127.0.0.1.", False),
    ],
)  # fmt: skip
def test_auth_49_a_sign_in_goes_over_plain_http_only_to_this_machine(config, url, is_refused):
    assert is_open(url) == is_refused
    config.put(
        "connections/c.yaml",
        f"connection: c\ntype: http\nauth: {{type: bearer, token: {{secret: t}}}}\nurl: '{url}'\n",
    )
    assert bool(config.load().errors) == is_refused
    config.put("connections/c.yaml", f"connection: c\ntype: http\nurl: '{url}'\n")
    assert not config.load().errors


@pytest.mark.parametrize("url", ["https://api.example.com/x", "https://API.example.com.:443/y"])
def test_a_job_may_name_a_whole_url_on_a_host_of_its_connection(config, url):
    assert job_of(config, target=f"{{connection: stg, url: '{url}'}}").target.url == url


@pytest.mark.parametrize(
    "url", ["https://u@h/", "https://:p@h/", "https://h/#f", "https://h/a b", "https://h:x/", "https:///p", "https://[::1/", "https://h/{id}", "https://h/\x7f"],
)  # fmt: skip
def test_urls_that_cannot_be_sent_to_are_told_without_repeating_them(url):
    wrong = trouble(url)
    assert wrong
    assert url not in wrong.message + wrong.hint


def test_what_is_no_url_has_no_origin():
    assert origin("https://[::1") is None
    assert origin("https://h:x/") is None
    assert not is_open("https://[::1")


def test_a_literal_secret_never_appears_in_what_is_told(config):
    canary = "c4n4ry-geheim-8231"
    for text in (
        f"auth: {{type: bearer, token: {canary}}}",
        f"auth: {{type: basic, username: u, password: [{canary}]}}",
        f"auth: {{type: basic, username: u, password: {{secret: {canary}/{canary}}}}}",
        f"url: https://u:{canary}@h.example.com",
        f"url: 'ftp://u:{canary}@h.example.com'",
        f"auth: {{type: header, name: X, value: {canary}}}",
    ):
        config.put("connections/c.yaml", f"connection: c\ntype: http\n{text}\n")
        loaded = load(config.path)
        assert loaded.errors
        assert canary not in "".join(map(str, loaded.problems))
