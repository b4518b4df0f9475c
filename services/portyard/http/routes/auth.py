"""Basic, Bearer and Digest authentication against the credentials that the path names."""

from __future__ import annotations

from aiohttp import web

from portyard.commons.hosted_requests import target_of
from portyard.http.core.credentials import parse_basic, parse_bearer, same
from portyard.http.core.digest import Attempt, Outcome, Protection, challenge, judge, parse_credentials, protection_of
from portyard.http.core.mirror import flat_args
from portyard.http.routes.common import ROOM, Group, bad_request, cookies_below, get, json_answer, query_of


async def basic(request: web.Request) -> web.Response:
    """401 until the path's user and password come by Basic."""
    if not _basic_fits(request):
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Portyard", charset="UTF-8"'})
    return _welcome(request)


async def hidden_basic(request: web.Request) -> web.Response:
    """The same, but a stranger isn't even told that there is something: 404."""
    if not _basic_fits(request):
        raise web.HTTPNotFound
    return _welcome(request)


def _basic_fits(request: web.Request) -> bool:
    given = parse_basic(request.headers.get("Authorization"))
    if given is None:
        return False
    user_fits = same(given[0], request.match_info["user"])
    return same(given[1], request.match_info["passwd"]) and user_fits


async def bearer(request: web.Request) -> web.Response:
    """401 until any Bearer token comes."""
    token = parse_bearer(request.headers.get("Authorization"))
    if token is None:
        return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    return json_answer({"authenticated": True, "token": token})


async def digest(request: web.Request) -> web.Response:
    """401 with a challenge until the path's user proves the password by Digest."""
    words = request.match_info
    stale_after = words.get("stale_after", "never")
    try:
        protection = protection_of(
            words["user"], words["passwd"], words["qop"], words.get("algorithm", "MD5"), stale_after
        )
    except ValueError as error:
        raise bad_request(f"stale_after: {error}") from None
    authorization = request.headers.get("Authorization")
    wants_cookie = flat_args(query_of(request)).get("require-cookie", "").lower() in ("1", "t", "true")
    if parse_credentials(authorization) is None or (wants_cookie and "Cookie" not in request.headers):
        return _challenged(request, protection, stale_after, stale=False)
    if wants_cookie and request.cookies.get("fake") != "fake_value":
        missing = json_answer({"errors": ["the cookie that came with the challenge is missing"]}, 403)
        return _with_cookies(missing, request, stale_after)
    assert authorization is not None
    attempt = Attempt(request.method, target_of(request), await request.read(), authorization)
    outcome = judge(protection, attempt, request.app[ROOM].nonces)
    if outcome is not Outcome.GOOD:
        return _challenged(request, protection, stale_after, stale=outcome is Outcome.STALE)
    return _with_cookies(_welcome(request), request, stale_after)


def _challenged(request: web.Request, protection: Protection, stale_after: str, *, stale: bool) -> web.Response:
    room = request.app[ROOM]
    nonce = room.nonces.mint(room.yard.rng.randbytes(12))
    field = challenge(protection, nonce, room.yard.rng.randbytes(16).hex(), stale=stale)
    return _with_cookies(web.Response(status=401, headers={"WWW-Authenticate": field}), request, stale_after)


def _with_cookies(response: web.Response, request: web.Request, stale_after: str) -> web.Response:
    """The cookies that httpbin sets; ours don't keep any state, the nonces do, so clients without cookies are served too."""
    response.set_cookie("stale_after", stale_after, path=cookies_below(request))
    response.set_cookie("fake", "fake_value", path=cookies_below(request))
    return response


def _welcome(request: web.Request) -> web.Response:
    return json_answer({"authenticated": True, "user": request.match_info["user"]})


_DIGEST = "/digest-auth/{qop}/{user}/{passwd}"
GROUPS = (
    Group(
        "Authentication",
        (
            get("/basic-auth/{user}/{passwd}", basic, "401 until these credentials come by Basic."),
            get("/hidden-basic-auth/{user}/{passwd}", hidden_basic, "404 until these credentials come by Basic."),
            get("/bearer", bearer, "401 until a Bearer token comes."),
            get(
                _DIGEST,
                digest,
                "401 until these credentials come by Digest; qop: auth, auth-int, or another for either.",
            ),
            get(_DIGEST + "/{algorithm}", digest, "Digest with MD5, SHA-256, SHA-512-256 or SHA-512, or their -sess."),
            get(
                _DIGEST + "/{algorithm}/{stale_after}",
                digest,
                "Digest where a nonce is stale after so many uses, or never.",
            ),
        ),
    ),
)
