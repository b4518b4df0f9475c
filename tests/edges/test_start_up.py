"""What a user sees who asks for something that can't be had: one clear line that names the thing and the remedy, and a status not zero."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.support.process import portyard, serving


def the_line(text: str) -> str:
    """The only line."""
    (line,) = text.strip().splitlines()
    return line


def refusal(folder: Path, settings: str) -> str:
    """What is said of a portyard.toml that can't be used."""
    (folder / "portyard.toml").write_text(settings)
    done = portyard("serve", "pop3", cwd=folder)
    assert done.returncode == 2
    return the_line(done.stderr)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = portyard("serve", "pop3", cwd=tmp_path, PORTYARD_PORT_POP3=str(number))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{number} (pop3)" in the_line(done.stderr)
    assert "PORTYARD_PORT_POP3" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORTYARD_PORT_OFFSET", "-4", "port_offset = '-4': expected `int` >= 0"),
        ("PORTYARD_PORT_OFFSET", "many", "port_offset = 'many': expected `int`"),
        ("PORTYARD_CAPTURE", "some", "capture = 'some'"),
        ("PORTYARD_REQUIRE_TLS", "perhaps", "require_tls = 'perhaps': expected `bool`"),
        ("PORTYARD_LIMITS_MESSAGE", "7", "limits.message = '7': expected `int` >= 1024"),
        ("PORTYARD_NO_SUCH_THING", "1", "PORTYARD_NO_SUCH_THING: no such setting"),
        ("PORTYARD_CONFIG", "missing.toml", "missing.toml"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: str, told: str, tmp_path: Path) -> None:
    done = portyard("serve", "pop3", cwd=tmp_path, **{name: value})
    assert done.returncode == 2
    assert told in the_line(done.stderr)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('capturee = "any"', "capturee = 'any': no such setting; did you mean capture?; known are state, listen"),
        (
            "[limits]\nmesage = 1",
            "limits.mesage = 1: no such setting; did you mean message?; known are message, recipients",
        ),
        (
            '[[accounts]]\nadress = "x"',
            "accounts[0].adress = 'x': no such setting; did you mean address?; known are address",
        ),
        ('[log.room]\nimap = "x"', "log.room = {'imap': 'x'}: no such setting; did you mean rooms?"),
    ],
)
def test_an_unknown_setting_of_a_file_is_named_with_what_is_known(text: str, told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[accounts]]\npassword = "hush"',
            "accounts[0] = {'password': «secret»}: object missing required field `address`",
        ),
        ('[[accounts]]\naddress = "a@b.test"\npassword = 417', "accounts[0].password = «secret»: expected `str`"),
        ('[[accounts]]\naddress = "a@b.test"\npasswort = "hush"', "accounts[0].passwort = «secret»: no such setting"),
        ('token = "hush hush"', "token = «secret»: expected letters, digits"),
        ('[[accounts]]\naddress = "ab"', "accounts[0].address = 'ab': expected an address"),
    ],
)
def test_a_wrong_setting_shows_no_secret(text: str, told: str, tmp_path: Path) -> None:
    line = refusal(tmp_path, text)
    assert told in line
    assert not {"hush", "417"} & set(re.findall(r"\w+", line))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("imap=gmial", "personas.imap = 'gmial': imap has no persona of this name; did you mean gmail?"),
        ("dns=gmail", "personas.dns = 'gmail': dns has no personas"),
        ("imp=gmail", "personas.imp = 'gmail': no room or service imp; did you mean imap?"),
    ],
)
def test_a_wrong_persona_is_named(value: str, told: str, tmp_path: Path) -> None:
    environment = {"PORTYARD_PERSONAS": value, "PORTYARD_PORTS": "ephemeral"}
    done = portyard("serve", "pop3", cwd=tmp_path, **environment)
    assert done.returncode == 1
    assert told in the_line(done.stderr)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "PORTYARD_DOMAIN",
            "expired.test",
            "domain = 'expired.test': TLS by this name asks for the certificate expired",
        ),
        ("PORTYARD_DOMAINS", "a.example,revoked.b.example", "domains = 'revoked.b.example': TLS by this name asks"),
        ("PORTYARD_DOMAINS", "a..example", "domains = 'a..example': no host name"),
    ],
)
def test_a_wrong_domain_is_named(name: str, value: str, told: str, tmp_path: Path) -> None:
    done = portyard("serve", "pop3", cwd=tmp_path, **{name: value, "PORTYARD_PORTS": "ephemeral"})
    assert done.returncode == 1
    assert told in the_line(done.stderr)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("imaps=expird", "tls.imaps = 'expird': no such name; did you mean expired?"),
        ("dns-tcp=expired", "tls.dns-tcp = 'expired': no port of this name speaks TLS; known are submission"),
    ],
)
def test_a_wrong_certificate_is_named(value: str, told: str, tmp_path: Path) -> None:
    done = portyard("serve", "pop3", cwd=tmp_path, PORTYARD_TLS=value, PORTYARD_PORTS="ephemeral")
    assert done.returncode == 1
    assert told in the_line(done.stderr)


@pytest.mark.parametrize("words", [("serve", "pop3"), ("up",)])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PORTYARD_PORT_OFFSETT", "offsett = 3000 (PORTYARD_PORT_OFFSETT): no such port; did you mean offset?"),
        ("PORTYARD_PORT_IMAP_S", "imap-s = 3000 (PORTYARD_PORT_IMAP_S): no such port; did you mean imaps?"),
        ("PORTYARD_PORT_HARBOUR", "harbour = 3000 (PORTYARD_PORT_HARBOUR): no such port; known are dns-"),
    ],
)
def test_a_wrong_port_is_named(words: tuple[str, ...], name: str, told: str, tmp_path: Path) -> None:
    environment = {name: "3000", "PORTYARD_PORTS": "ephemeral", "PORTYARD_ENGINE": "embedded"}
    done = portyard(*words, cwd=tmp_path, **environment)
    assert done.returncode == 1
    assert f"port_overrides.{told}" in the_line(done.stderr)
    assert not (tmp_path / ".portyard").exists()


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("port_offset = [1]", "port_offset = [1]: expected `int`"),
        ("colour = 'red'", "colour"),
        ("= 3", "not TOML"),
        ("port_offset = 1\n[log]\nlevel = 'info'\nlevel = 'debug'", "log.level is given twice (line 4)"),
        ("[[accounts]]\naddress = 'nobody'\npassword = 'x'", "accounts"),
    ],
)
def test_a_wrong_file_is_named(toml: str, told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, toml)


def test_a_room_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = portyard("serve", "gopher", cwd=tmp_path)
    assert done.returncode == 2
    assert "gopher: no such room or service; known are all, " in the_line(done.stderr)


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    done = portyard("serve", "pop3", cwd=tmp_path, PORTYARD_STATE=str(blocked / "state"), PORTYARD_PORTS="ephemeral")
    assert done.returncode == 1
    assert str(blocked / "state") in the_line(done.stderr)
    assert "PORTYARD_STATE" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every directory")
def test_a_state_directory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0)
    done = portyard("serve", "pop3", cwd=tmp_path, PORTYARD_STATE=str(state), PORTYARD_PORTS="ephemeral")
    assert done.returncode == 1
    assert str(state) in the_line(done.stderr)


def test_nothing_runs_here_is_one_line(tmp_path: Path) -> None:
    for words in (["status"], ["endpoints"], ["ca"]):
        done = portyard(*words, cwd=tmp_path)
        assert done.returncode == 1
        assert "make up" in the_line(done.stderr)
    assert portyard("down", cwd=tmp_path).stdout == "nothing runs here\n"


def test_settings_come_from_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "portyard.toml").write_text(
        'domain = "harbour.test"\n[[accounts]]\naddress = "mira@harbour.test"\npassword = "m"\n'
    )
    with (
        serving(tmp_path, "pop3", PORTYARD_CONFIG=str(tmp_path / "portyard.toml")) as running,
        socket.create_connection(("127.0.0.1", running.port("pop3")), 10) as connection,
        connection.makefile("rwb") as stream,
    ):
        assert stream.readline().endswith(b"@harbour.test>\r\n")
        stream.write(b"USER mira\r\nPASS m\r\n")
        stream.flush()
        assert [stream.readline()[:3] for _ in range(2)] == [b"+OK", b"+OK"]
