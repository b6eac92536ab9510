"""django-oauth-toolkit as a server of its own: `python django_toolkit.py FOLDER` prints where it listens.

Rotation (where `given.json` asks for it) and reuse protection are on, tokens rest hashed (but not with a grace
period); the database is an SQLite file in FOLDER. Every request to the token endpoint is a line of FOLDER/tokens.jsonl, every delivery one of
FOLDER/delivered.jsonl.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings

FOLDER = Path(sys.argv[1])
GIVEN = json.loads((FOLDER / "given.json").read_text())

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    # Without migrations the tables are made in one go, which is most of the time of a start.
    MIGRATION_MODULES={"auth": None, "contenttypes": None, "oauth2_provider": None},
    MIDDLEWARE=[],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / "db.sqlite3",
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    LOGGING={
        "version": 1,
        "handlers": {"stderr": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR"}},
    },
    # Slow hashes are right for people's passwords; here they would be most of the time of a test.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        "SCOPES": {"read": "Read", "write": "Write", "introspection": "Introspect"},
        "DEFAULT_SCOPES": ["read", "write"],
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
        "ROTATE_REFRESH_TOKEN": GIVEN["rotate"],
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": GIVEN["grace"],
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        # Of hashed tokens it cannot give the last pair once more, which is what its grace is.
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": not GIVEN["grace"],
    },
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402
from oauth2_provider.views import IntrospectTokenView, RevokeTokenView, TokenView  # noqa: E402

WRITING = threading.Lock()


def note(name, line):
    with WRITING, (FOLDER / name).open("a") as file:
        file.write(json.dumps(line) + "\n")


@csrf_exempt
def token(request):
    """The toolkit's own token endpoint, and a line about it."""
    answer = TokenView.as_view()(request)
    said = json.loads(answer.content or b"{}")
    line = {
        "grant": request.POST.get("grant_type"),
        "status": answer.status_code,
        "error": said.get("error", ""),
        "client": "basic" if "HTTP_AUTHORIZATION" in request.META else "body",
    }
    note("tokens.jsonl", line)
    return answer


@csrf_exempt
@protected_resource(scopes=["write"], advertise_metadata=True)
def deliveries(request):
    """A target behind the toolkit's own check of tokens."""
    note("delivered.jsonl", request.body.decode())
    return HttpResponse(status=204)


urlpatterns = [
    path("token", token),
    path("introspect", IntrospectTokenView.as_view()),
    path("revoke", RevokeTokenView.as_view()),
    path("deliveries", deliveries),
]


def fill():
    """The person and the clients."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    person = GIVEN["person"]
    get_user_model().objects.create_user(person["username"], password=person["password"])
    application = get_application_model()
    for client in GIVEN["clients"].values():
        application.objects.create(
            name=client["id"],
            client_id=client["id"],
            client_secret=client["secret"],
            client_type=application.CLIENT_CONFIDENTIAL if client["secret"] else application.CLIENT_PUBLIC,
            authorization_grant_type=application.GRANT_CLIENT_CREDENTIALS
            if client["machine"]
            else application.GRANT_PASSWORD,
        )


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        """tokens.jsonl says what counts."""


if __name__ == "__main__":
    from django.core.wsgi import get_wsgi_application

    fill()
    server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=Handler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()
