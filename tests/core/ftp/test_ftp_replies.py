"""Replies to failures, and what the journal shows."""

from __future__ import annotations

import errno

import pytest

from portyard.ftp.core.replies import UndecodableError, decode, file_refused, printable, shown, storing_failed


def test_telnet_signals_before_a_command_are_dropped() -> None:
    assert decode(b"\xff\xf4\xff\xf2ABOR") == "ABOR"
    assert decode("RETR ü".encode()) == "RETR ü"


@pytest.mark.parametrize("line", [b"RETR \xff\xfe", b"RETR \xc3", b"RETR a\0b"])
def test_what_is_no_text_is_refused(line: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode(line)


def test_secrets_are_blanked() -> None:
    assert shown("PASS alice-secret") == "PASS «secret, 12 bytes»"
    assert shown("pass ü") == "pass «secret, 2 bytes»"
    assert shown("ACCT x") == "ACCT «secret, 1 bytes»"
    assert shown("PASS") == "PASS"
    assert shown("RETR PASS x") == "RETR PASS x"


def test_any_encoder_takes_it() -> None:
    assert printable("a\udcffü").encode() == "a\\udcffü".encode()


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "452"), (errno.EFBIG, "552"), (errno.EDQUOT, "552"), (errno.EIO, "451"), (0, "451")],
)
def test_storing_failed(number: int, code: str) -> None:
    assert storing_failed(OSError(number, "")).startswith(code)


def test_refused() -> None:
    assert file_refused(FileNotFoundError(errno.ENOENT, "")) == "550 No such file or directory."
    assert file_refused(OSError("odd")) == "550 Failed."
