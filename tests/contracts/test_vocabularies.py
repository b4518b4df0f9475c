"""What each room declares: replies are of the protocol's form, and a script is made of steps that are taken there."""

from __future__ import annotations

import re

import pytest

from portyard.commons.scenario.actions import ACTIONS
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import Verb, by_room
from portyard.commons.tls.descriptions import REFUSALS
from portyard.rooms import cards

ROOMS = by_room(card.vocabulary for card in cards() if card.vocabulary is not None)
VERBS = [(f"{room}.{name}", verb) for room, known in ROOMS.items() for name, verb in known.verbs.items()]
FREE = {  # texts of which any may be said, and why
    "ssh.kex refuse": "a disconnect's words",
    "ssh.auth refuse": "a banner",
    "ssh.prompt refuse": "a banner",
    "ssh.prompt say": "a prompt",
    "ssh.env refuse": "never told",
    "ssh.pty refuse": "never told",
    "ssh.shell refuse": "never told",
    "ssh.exec refuse": "a channel's failure in words",
    "ssh.exec say": "output",
    "ssh.subsystem refuse": "never told",
    "websocket.enter refuse": "an error's message",
    "websocket.event refuse": "an error's message",
    "websocket.event say": "JSON, or a text",
}


@pytest.mark.parametrize(("on", "verb"), VERBS, ids=[on for on, _ in VERBS])
def test_a_verb_is_whole(on: str, verb: Verb) -> None:
    assert verb.actions <= ACTIONS.keys()
    assert verb.script_steps <= {name for name, spec in ACTIONS.items() if spec.step}
    for action in {"refuse", "say"} & verb.actions:
        assert action in verb.forms or f"{on} {action}" in FREE, f"{on} says anything as {action}"
    for form in verb.forms.values():
        re.compile(form.pattern)
        assert form.allowed


TAKEN = [
    ("smtp.rcpt", {"refuse": "451 4.7.1 try again later"}),
    ("smtp.rcpt", {"refuse": "550-5.1.1 nobody\n550 5.1.1 at all"}),
    ("smtp.rcpt", {"say": "250 2.1.5 $recipient"}),
    ("smtp.rcpt", {"refuse": "571 5.7.1 as real servers say"}),
    ("smtp.greeting", {"say": "220-one\n220 two"}),
    ("smtp.noop", {"script": [{"say": "250-one"}, {"expect": "*"}, {"say": "250 two"}]}),
    ("smtp.noop", {"script": [{"send": "nonsense"}, {"reset": True}]}),
    ("pop3.stat", {"refuse": "-ERR [SYS/TEMP] later"}),
    ("pop3.uidl", {"say": "+OK\n1 a\n."}),
    ("pop3.auth", {"say": "+ "}),
    ("imap.noop", {"refuse": "NO [UNAVAILABLE] later"}),
    ("imap.tls", {"refuse": "unknown_ca"}),
    ("ftp.retr", {"refuse": "450 busy"}),
    ("ftp.feat", {"say": "211-Features:\n EPSV\n211 End"}),
    ("ftp.greeting", {"say": "120 soon"}),
    ("ftp.noop", {"script": [{"say": "200-one\n two"}, {"expect": "NOOP"}, {"say": "200 three"}]}),
    ("ftp.tls", {"refuse": "Certificate-Required"}),
    ("http.request", {"refuse": 503}),
    ("http.request", {"refuse": "451 not for $host"}),
    ("http.response", {"say": "204"}),
    ("http.request", {"script": [{"say": "200 yes"}, {"respond": {"status": 103}}, {"send": "x"}]}),
    ("websocket.upgrade", {"say": "chat.v2"}),
    ("websocket.upgrade", {"script": [{"say": "200"}]}),
    ("websocket.message", {"refuse": "1011"}),
    ("websocket.message", {"refuse": "4000 mine"}),
    ("websocket.message", {"say": "anything at all"}),
    ("websocket.open", {"script": [{"say": "hello"}, {"expect": "hi"}]}),
    ("websocket.close", {"say": "1005"}),
    ("dns.query", {"script": [{"delay": 1}, {"say": "NOERROR"}]}),
    ("ssh.greeting", {"say": "SSH-2.0-OpenSSH_4.3"}),
    ("ssh.sftp_open", {"refuse": "SSH_FX_PERMISSION_DENIED: not you"}),
    ("ssh.sftp_open", {"refuse": "no such file"}),
    ("ssh.sftp_open", {"refuse": "the disk is on fire"}),
    ("ssh.sftp_close", {"say": "4: on fire"}),
    ("ssh.prompt", {"script": [{"say": "Code: "}, {"expect": "1"}]}),
]
REFUSED = [
    ("smtp.rcpt", {"refuse": "250 ok"}, "then.refuse"),
    ("smtp.rcpt", {"refuse": "later"}, "then.refuse"),
    ("smtp.rcpt", {"refuse": "451-one\n452 two"}, "then.refuse"),
    ("smtp.rcpt", {"say": "2500 ok"}, "then.say"),
    ("smtp.rcpt", {"say": "250-unfinished"}, "then.say"),
    ("smtp.rcpt", {"script": [{"say": "hello"}]}, "then.script[0].say"),
    ("smtp.rcpt", {"script": [{"delay": 1}, {"respond": "x"}]}, "then.script[1].respond"),
    ("smtp.tls", {"refuse": "unknwon_ca"}, "then.refuse"),
    ("smtp.tls", {"refuse": "close_notify"}, "then.refuse"),
    ("pop3.stat", {"refuse": "+OK"}, "then.refuse"),
    ("pop3.stat", {"refuse": "later"}, "then.refuse"),
    ("pop3.stat", {"refuse": "-ERRor"}, "then.refuse"),
    ("pop3.stat", {"say": "OK"}, "then.say"),
    ("pop3.message", {"script": [{"say": "+OK"}]}, "then.script"),
    ("imap.noop", {"refuse": "OK fine"}, "then.refuse"),
    ("imap.noop", {"script": [{"say": "fine"}]}, "then.script[0].say"),
    ("ftp.retr", {"refuse": "150 here it comes"}, "then.refuse"),
    ("ftp.retr", {"refuse": "no"}, "then.refuse"),
    ("ftp.retr", {"say": "250-one\n251 two"}, "then.say"),
    ("ftp.retr", {"script": [{"respond": "octets"}]}, "then.script[0].respond"),
    ("ftp.transfer", {"refuse": "99 no"}, "then.refuse"),
    ("ftp.tls", {"refuse": "no"}, "then.refuse"),
    ("http.request", {"refuse": 204}, "then.refuse"),
    ("http.request", {"refuse": "later"}, "then.refuse"),
    ("http.request", {"say": "100"}, "then.say"),
    ("http.request", {"script": [{"say": "20"}]}, "then.script[0].say"),
    ("http.request", {"script": [{"respond": {"stderr": "x"}}]}, "then.script[0].respond.stderr"),
    ("http.response", {"say": "gone"}, "then.say"),
    ("websocket.upgrade", {"refuse": "1011"}, "then.refuse"),
    ("websocket.upgrade", {"say": "two words"}, "then.say"),
    ("websocket.upgrade", {"script": [{"say": "chat"}]}, "then.script[0].say"),
    ("websocket.message", {"refuse": "1005"}, "then.refuse"),
    ("websocket.message", {"refuse": "1015"}, "then.refuse"),
    ("websocket.message", {"refuse": "503"}, "then.refuse"),
    ("websocket.message", {"script": [{"respond": "x"}]}, "then.script[0].respond"),
    ("websocket.close", {"say": "bye"}, "then.say"),
    ("websocket.ping", {"say": "x" * 126}, "then.say"),
    ("dns.query", {"script": [{"send": "x"}]}, "then.script[0].send"),
    ("dns.query", {"script": [{"say": "NOERROR"}, {"expect": "*"}]}, "then.script[1].expect"),
    ("dns.query", {"script": [{"reset": True}]}, "then.script[0].reset"),
    ("ssh.greeting", {"say": "SSH-2.0-x\nSSH-2.0-y"}, "then.say"),
    ("ssh.sftp_open", {"refuse": "SSH_FX_BOGUS"}, "then.refuse"),
    ("ssh.sftp_open", {"refuse": "0"}, "then.refuse"),
    ("ssh.sftp_open", {"refuse": "ok"}, "then.refuse"),
    ("ssh.sftp_open", {"say": "77"}, "then.say"),
    ("ssh.prompt", {"script": [{"reset": True}]}, "then.script[0].reset"),
]


def test_postmaster_needs_no_domain() -> None:
    assert check(make_rule("smtp.rcpt", {"delay": 1}, where={"recipient": ["Postmaster", "bob@*"]}), ROOMS)


@pytest.mark.parametrize(("on", "then"), TAKEN)
def test_what_can_be_said_is_taken(on: str, then: object) -> None:
    assert check(make_rule(on, then), ROOMS)


@pytest.mark.parametrize(("on", "then", "key"), REFUSED)
def test_what_cant_be_said_is_refused_when_it_is_set(on: str, then: object, key: str) -> None:
    with pytest.raises(RuleError) as refused:
        check(make_rule(on, then), ROOMS)
    assert refused.value.key == key
    assert refused.value.allowed
    assert refused.value.reason


def test_the_alerts_are_named() -> None:
    with pytest.raises(RuleError) as refused:
        check(make_rule("http.tls", {"refuse": "unknwon_ca"}), ROOMS)
    assert refused.value.allowed == ", ".join(REFUSALS)
    assert {"unknown_ca", "certificate_required", "protocol_version"} <= set(REFUSALS)
    assert "close_notify" not in REFUSALS
