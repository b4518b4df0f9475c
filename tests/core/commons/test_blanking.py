"""Secrets in bodies are blanked by their names, in every form that a body has."""

from __future__ import annotations

import json

import pytest

from portyard.commons.blanking import masked

SECRET = "hunter2-hunter2!"
FORM = f"user=ada&password={SECRET}&x=1"
PART = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
BODIES = (
    FORM,
    f"access_token={SECRET}",
    f"code={SECRET}&state=1",
    json.dumps({"user": "ada", "password": SECRET}),
    json.dumps({"PassWord": SECRET, "new_password": SECRET, "password_confirmation": SECRET}, indent=2),
    json.dumps({"api_key": [SECRET, SECRET], "cookies": {"id": SECRET}}),
    json.dumps({"headers": {"Authorization": f"Bearer {SECRET}", "Cookie": f"id={SECRET}"}}),
    json.dumps({"data": json.dumps({"client_secret": SECRET})}),
    json.dumps({"data": json.dumps({"client_secret": 'quote"' + SECRET})}),
    json.dumps({"url": f"http://ada:{SECRET}@x.test/?token={SECRET}"}),
    json.dumps({"data": FORM}),
    json.dumps({"code": SECRET}),
    json.dumps({"refresh_token": SECRET})[:-4],  # cut
    json.dumps({"password": f'a"{SECRET}'}),
    f"<login><Password>{SECRET}</Password></login>",
    f'<s:password type="text">{SECRET}</s:password>',
    "--b\r\n" + PART.format("user", "ada") + "--b\r\n" + PART.format("password", SECRET) + "--b--\r\n",
    f"400: invalid field b' broken: Bearer {SECRET}'",
    f"Authorization: Digest response={SECRET}\r\nX: y",
)


@pytest.mark.parametrize("body", BODIES)
def test_a_secret_is_blanked(body: str) -> None:
    told = masked(body.encode()).decode()
    assert SECRET not in told
    assert "«secret, " in told


@pytest.mark.parametrize(
    "body",
    [
        "hello",
        '{"max_tokens": 100, "token_type": "bearer", "tokens": 5, "token": null, "cookies": {}, "key": "a", "code": 7}',
        '{"keyboard": "us", "author": "ada@example.com", "monkey": "x"}',
        "key=value&code=1234&a=b",
        "the password is on the card; ask for a token",
    ],
)
def test_what_is_no_secret_stays(body: str) -> None:
    assert masked(body.encode()).decode() == body


def test_what_stands_beside_a_secret_stays() -> None:
    assert masked(FORM.encode()).decode() == f"user=ada&password=«secret, {len(SECRET)} bytes»&x=1"
    told = masked(json.dumps({"a": 1, "password": SECRET, "b": [2]}).encode()).decode()
    assert json.loads(told) == {"a": 1, "password": f"«secret, {len(SECRET)} bytes»", "b": [2]}


@pytest.mark.parametrize(
    "piece", ['"', "token", '"token', '\\"', "<token", "a=", "name=token\r\n", " ", ":", "&token="]
)
def test_no_body_takes_long(piece: str) -> None:
    """Where a pattern went back and forth, this would take minutes."""
    masked((piece * 20_000).encode())
