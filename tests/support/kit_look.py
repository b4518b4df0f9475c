"""A session by POP3 that tells in a transcript who looked: in a test, and in the tests of a test run of its own."""

from __future__ import annotations

import poplib

from portyard.testing import Sandbox

LIMIT_S = 30
CLIENT = """
    import poplib
    import unittest
    import pytest
    from portyard.testing import Testbed

    def look(sandbox, name):
        client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=30)
        client.user(f"{name}@{sandbox.domain}")
        client.quit()
"""


def look(sandbox: Sandbox, name: str) -> None:
    """Come, name oneself, and go."""
    client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
    client.user(f"{name}@{sandbox.domain}")
    client.quit()
