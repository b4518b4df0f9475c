"""Basic, Bearer and Digest, with aiohttp's client and its own digest implementation as the independent peer."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import aiohttp
import pytest

from tests.support.asyncio_tests import run
from tests.support.http import room


def test_basic_and_bearer(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            right, wrong = aiohttp.encode_basic_auth("ü", "p:{w}/"), aiohttp.encode_basic_auth("ü", "other")
            for path, refused in (("/basic-auth", 401), ("/hidden-basic-auth", 404)):
                url = aiohttp.client.URL(f"{path}/%C3%BC/p%3A%7Bw%7D%2F", encoded=True)
                for auth, status in ((right, 200), (wrong, refused), (None, refused)):
                    async with client.get(url, headers={"Authorization": auth} if auth else {}) as response:
                        assert response.status == status
                        assert ("WWW-Authenticate" in response.headers) is (status == 401)
                        if status == 200:
                            assert await response.json() == {"authenticated": True, "user": "ü"}
            for field, status in (("Bearer abc.def", 200), ("bearer x", 200), ("Bearer", 401), ("Basic eA==", 401)):
                async with client.get("/bearer", headers={"Authorization": field}) as response:
                    assert response.status == status
            async with client.get("/basic-auth/a/b", headers={"Authorization": "Basic !!!"}) as response:
                assert response.status == 401

    run(go())


@pytest.mark.parametrize("qop", ["auth", "auth-int", "either"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512", "SHA-256-sess", "nonsense"])
def test_digest_by_an_independent_client(tmp_path: Path, qop: str, algorithm: str) -> None:
    async def go() -> None:
        async with room(tmp_path) as (place, _):
            for password, status in (("pass", 200), ("wrong", 401)):
                digest = aiohttp.DigestAuthMiddleware("user", password)
                async with aiohttp.ClientSession(place.url, middlewares=(digest,)) as client:
                    for _ in range(3):
                        async with client.get(f"/digest-auth/{qop}/user/pass/{algorithm}?x=1") as response:
                            assert response.status == status

    run(go())


def respond(field: str, *, nc: int, uri: str, user: str = "u", password: str = "p", method: str = "GET") -> str:
    """A client of our own, for what no client does."""
    nonce = re.search(r'nonce="([^"]*)"', field)[1]  # type: ignore[index]
    realm = re.search(r'realm="([^"]*)"', field)[1]  # type: ignore[index]

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    count = f"{nc:08x}"
    proof = md5(f"{md5(f'{user}:{realm}:{password}')}:{nonce}:{count}:cn:auth:{md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", qop=auth, nc={count}, '
        f'cnonce="cn", response="{proof}"'
    )


async def ask(client: aiohttp.ClientSession, path: str, authorization: str = "") -> tuple[int, str]:
    async with client.get(path, headers={"Authorization": authorization} if authorization else {}) as response:
        return response.status, response.headers.get("WWW-Authenticate", "")


def test_nonces_go_stale_and_replays_are_seen(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            path = "/digest-auth/auth/u/p/MD5/2"
            status, challenge = await ask(client, path)
            assert status == 401
            assert "stale=false" in challenge
            assert (await ask(client, path, respond(challenge, nc=2, uri=path)))[0] == 200
            status, again = await ask(client, path, respond(challenge, nc=2, uri=path))
            assert (status, "stale=true" in again) == (401, True)  # a replay
            assert (await ask(client, path, respond(challenge, nc=1, uri=path)))[0] == 200  # late, not replayed
            status, again = await ask(client, path, respond(challenge, nc=3, uri=path))
            assert (status, "stale=true" in again) == (401, True)  # used up
            assert (await ask(client, path, respond(again, nc=1, uri=path)))[0] == 200
            forged = respond(again.replace('nonce="', 'nonce="AAAA'), nc=1, uri=path)
            status, field = await ask(client, path, forged)
            assert (status, "stale=true" in field) == (401, True)
            for wrong in (
                respond(again, nc=2, uri="/other"),
                respond(again, nc=2, uri=path, password="x"),
                respond(again, nc=2, uri=path, user="x"),
                "Digest nonsense",
                "Digest username=",
            ):
                status, field = await ask(client, path, wrong)
                assert (status, "stale=false" in field) == (401, True), wrong
            assert (await ask(client, "/digest-auth/auth/u/p/MD5/x"))[0] == 400
            always = "/digest-auth/auth/u/p/MD5/0"
            status, field = await ask(client, always, respond(again, nc=9, uri=always))
            assert (status, "stale=true" in field) == (401, True)

    run(go())


def test_digest_that_requires_its_cookie(tmp_path: Path) -> None:
    async def go() -> None:
        async with room(tmp_path) as (_, client):
            path = "/digest-auth/auth/u/p?require-cookie=1"
            _, challenge = await ask(client, path)
            authorization = respond(challenge, nc=1, uri=path)
            assert (await ask(client, path, authorization))[0] == 401
            for cookie, status in (("other=1", 403), ("fake=fake_value", 200)):
                headers = {"Authorization": authorization, "Cookie": cookie}
                async with client.get(path, headers=headers) as response:
                    assert response.status == status

    run(go())
