"""The forms in which a secret may stand somewhere."""

from __future__ import annotations

import base64
import json
import urllib.parse


def forms_of(secret):
    """How a secret may look when somebody was careless with it."""
    plain = secret.encode()
    forms = {plain, plain.hex().encode(), plain[::-1], json.dumps(secret)[1:-1].encode()}
    forms |= {urllib.parse.quote(secret, safe=safe).encode() for safe in ("", "/", "~")}
    forms.add(urllib.parse.quote_plus(secret).encode())
    # Base64 of it wherever it begins in a longer text, without the ends that depend on the neighbours.
    for lead in range(3):
        encoded = base64.b64encode(b"." * lead + plain)
        forms |= {encoded[4:-4], encoded[4:-4].replace(b"+", b"-").replace(b"/", b"_")}
    return forms
