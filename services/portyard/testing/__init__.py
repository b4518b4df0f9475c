"""What users import in their tests: a testbed in one line, sandboxes that never meet, faults in words, waits on the server.

def test_retry(sandbox):
    sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", times=1)
    send_with_my_client(sandbox.smtp.host, sandbox.smtp.port, to=f"someone@{sandbox.domain}")
    assert sandbox.mail.wait(subject="hello", timeout=5).to == [f"someone@{sandbox.domain}"]
"""

from __future__ import annotations

from portyard.commons.talk.model import TalkError
from portyard.testing.control import ControlError
from portyard.testing.mail import Message, NothingCameError
from portyard.testing.sandbox import Account, Sandbox
from portyard.testing.services import Rule, Service, UnseenWarning
from portyard.testing.talks import TalkFailure
from portyard.testing.testbed import Testbed

__all__ = [
    "Account",
    "ControlError",
    "Message",
    "NothingCameError",
    "Rule",
    "Sandbox",
    "Service",
    "TalkError",
    "TalkFailure",
    "Testbed",
    "UnseenWarning",
]
