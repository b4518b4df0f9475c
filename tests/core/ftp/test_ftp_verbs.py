"""What rules may ask of FTP: which verb a command is, and what its event says."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import parse_rule
from portyard.ftp.card import CARD
from portyard.ftp.core.verbs import BARE, NAMING, PATHS, PHASES, VOCABULARY, fields_of, path_of, verb_of


@pytest.mark.parametrize(
    ("command", "verb"),
    [("RETR", "retr"), ("XCWD", "cwd"), ("XPWD", "pwd"), ("SITE", "site"), ("FROB", "unknown"), ("DATA", "unknown")],
)
def test_verbs(command: str, verb: str) -> None:
    assert verb_of(command) == verb


@pytest.mark.parametrize(
    ("line", "folder", "fields"),
    [
        ("RETR f", "/d", {"path": "/d/f", "offset": 7}),
        ("RETR /a/../b", "/d", {"path": "/b", "offset": 7}),
        ("STOR ../../x", "/d", {"path": "/x", "offset": 7}),
        ("LIST", "/d", {"path": "/d"}),
        ("MFMT 20200101000000 my file", "/", {"path": "/my file"}),
        ("USER alice", "/", {"login": "alice"}),
        ("AUTH tls", "/", {"mechanism": "TLS"}),
        ("TYPE I", "/", {"argument": "I"}),
        ("FROB x y", "/", {"command": "FROB", "argument": "x y"}),
        ("PASS secret", "/", {}),
    ],
)
def test_fields(line: str, folder: str, fields: dict[str, object]) -> None:
    command, _, argument = line.partition(" ")
    assert fields_of(verb_of(command), command, argument, folder, 7) == fields


@given(folder=st.lists(st.text("ab.", min_size=1)), named=st.text("ab./ ", max_size=12))
def test_a_path_has_no_dots_left(folder: list[str], named: str) -> None:
    here = posixpath.normpath("/" + "/".join(folder))
    meant = "/" + posixpath.normpath(posixpath.join("/", here, named)).lstrip(
        "/"
    )  # POSIX has paths that begin with two
    assert fields_of("size", "SIZE", named, here, 0) == {"path": meant}


@pytest.mark.parametrize("command", NAMING)
@given(folder=st.sampled_from(["/", "/d"]), named=st.text("ab./ ", max_size=8))
def test_some_say_nothing_but_a_path(command: str, folder: str, named: str) -> None:
    verb = verb_of(command)
    assert NAMING[command] == verb
    assert verb in PATHS
    assert VOCABULARY.verbs[verb].magic in (None, "path")
    assert fields_of(verb, command, named, folder, 7) == {"path": path_of(folder, named)}


def test_of_some_there_is_nothing_to_tell() -> None:
    for command, verb in BARE.items():
        assert verb_of(command) == verb
        assert fields_of(verb, command, "x", "/", 7) == {}
    assert {verb_of(command) for command in BARE} == {
        verb
        for verb, declared in VOCABULARY.verbs.items()
        if not declared.fields and verb not in ("connect", "greeting")
    }


def test_no_secret_is_a_field() -> None:
    assert not VOCABULARY.verbs["pass"].fields
    assert not VOCABULARY.verbs["acct"].fields


def test_phases_are_verbs() -> None:
    assert set(PHASES) < VOCABULARY.verbs.keys()
    assert CARD.vocabulary is VOCABULARY


@pytest.mark.parametrize(
    ("on", "then", "why"),
    [
        ("data", {"say": "226 done"}, "transfer or complete"),
        ("noop", {"respond": "x"}, "what say is for"),
        ("retr", {"respond": {"status": 5}}, "no such part"),
        ("retr", {"tls": "expired"}, "verb tls"),
    ],
)
def test_what_cannot_be_honoured_is_refused_when_set(on: str, then: dict[str, object], why: str) -> None:
    with pytest.raises(RuleError, match=why):
        check(parse_rule({"on": f"ftp.{on}", "then": then}), {"ftp": VOCABULARY})


@pytest.mark.parametrize("phase", PHASES)
def test_a_command_that_moves_no_data_is_no_value(phase: str) -> None:
    def words(command: str) -> dict[str, object]:
        return {"on": f"ftp.{phase}", "where": {"command": command}, "then": {"hang_up": True}}

    for command in ("LIST2", "PASV", "X*"):
        with pytest.raises(RuleError, match="RETR, STOR, APPE, STOU, LIST, NLST, MLSD"):
            check(parse_rule(words(command)), {"ftp": VOCABULARY})
    for command in ("LIST", "retr", "*L*"):
        check(parse_rule(words(command)), {"ftp": VOCABULARY})
