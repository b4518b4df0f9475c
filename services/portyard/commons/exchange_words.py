"""What every event of a hosted exchange tells of its request: the fields that rules may ask about. Data only, light to import."""

from __future__ import annotations

from portyard.commons.scenario.vocabulary import Field, FieldKind, Form

NUMBER, PATH = FieldKind.NUMBER, FieldKind.PATH

BELOW = Form(
    r"(?s)(?!/~).*",
    'a path without "/~" and the sandbox\'s name, which are taken off before rules look: "/get", "/files/*"',
)
"""What a path looks like, or a glob of some, once the prefix that names a sandbox is gone."""
TARGET = {
    "method": Field("GET, POST …"),
    "path": Field("The path, percent-encoding undone, without the prefix that names a sandbox.", PATH, form=BELOW),
}
HEAD = {
    **TARGET,
    "query": Field("What follows the question mark, as it was sent."),
    "host": Field("The Host field."),
    "user_agent": Field("The User-Agent field."),
    "origin": Field("The Origin field."),
    "login": Field("The user name of Basic credentials; empty without."),
}
CONTENT = {
    "accept": Field("The Accept field."),
    "content_type": Field("The Content-Type field."),
    "length": Field("The Content-Length field; 0 without.", NUMBER),
}
STATUS = {**TARGET, "status": Field("The status of the answer.", NUMBER, low=100, high=999)}

_REASON = r"(?:\s[^\r\n]*)?"
STATUSES = {
    "refuse": Form(
        f"[45][0-9]{{2}}{_REASON}", 'a status that refuses, from 400 to 599, a phrase behind it or not: "503 later"'
    ),
    "say": Form(f"[2-9][0-9]{{2}}{_REASON}", 'a final status, from 200 to 999, a phrase behind it or not: "204"'),
}
"""What a rule's answer in place of the true one looks like; anything else is what `respond` and `send` are for."""
