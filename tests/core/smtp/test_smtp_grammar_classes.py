"""The grammar's classes, each held against the RFC's own words over every character that there is."""

from __future__ import annotations

import re
import string

import pytest

from portyard.smtp.core import grammar

EVERY = "".join(map(chr, range(0x110000)))
UTF8 = {chr(code) for code in (*range(0x80, 0xD800), *range(0xE000, 0x110000))}  # RFC 6531 §3.3: UTF8-non-ascii
LET_DIG = {*string.ascii_letters, *string.digits}
VISIBLE = {chr(code) for code in range(33, 127)}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        pytest.param(
            grammar._ATOM.removesuffix("+"), LET_DIG | set("!#$%&'*+-/=?^_`{|}~"), id="atext, RFC 5321 §4.1.2"
        ),
        pytest.param(grammar._LET_DIG, LET_DIG | {"_"}, id="Let-dig"),
        pytest.param(grammar._LDH, LET_DIG | {"_", "-"}, id="Ldh-str"),
        pytest.param(grammar._HELLO.pattern.partition("{")[0], VISIBLE, id="the name of a hello"),
    ],
)
def test_a_class_is_what_the_rfc_says(pattern: str, allowed: set[str]) -> None:
    assert set(re.findall(pattern, EVERY)) == allowed | UTF8


def test_qtext_is_what_the_rfc_says() -> None:
    quoted = re.compile(grammar._QUOTED_STRING)
    assert {each for each in EVERY if quoted.fullmatch(f'"{each}"')} == (VISIBLE | {" "}) - set('"\\') | UTF8


def test_a_parameters_value_is_what_the_rfc_says() -> None:
    assert {each for each in EVERY if grammar._PARAMETER.fullmatch(f"X={each}")} == VISIBLE - {"="} | UTF8
