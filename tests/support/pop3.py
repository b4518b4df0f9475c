"""What POP3's talks share at every height."""

from __future__ import annotations

PRELUDES = {
    "transaction": """\
S: +OK $
C: USER $user
S: +OK $
C: PASS $password
S: +OK $
""",
    "authorization": "S: +OK $\n",
}

BINDINGS: dict[str, str] = {}
