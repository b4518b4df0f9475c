"""Content of every kind: documents, codings, pictures, a form."""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from importlib.resources import files

import brotli
from aiohttp import web

from portyard.http.core.mirror import headers_of, origin_of
from portyard.http.core.negotiation import best_of
from portyard.http.core.status import ACCEPTED_IMAGES, answer_of
from portyard.http.routes.common import Group, Handle, get, json_octets, mirrored
from portyard.http.routes.statuses import response_of

_IMAGES = {
    "image/webp": "yard.webp",
    "image/svg+xml": "yard.svg",
    "image/jpeg": "yard.jpg",
    "image/png": "yard.png",
}


def document(name: str, content_type: str, charset: str | None = None) -> Handle:
    """A handler that serves one of the room's own documents."""

    async def show(request: web.Request) -> web.Response:
        return web.Response(body=_data(name), content_type=content_type, charset=charset)

    return show


@cache
def _data(name: str) -> bytes:
    return files("portyard.http").joinpath("data", name).read_bytes()


async def image(request: web.Request) -> web.Response:
    """The picture in the media type that Accept likes best."""
    chosen = best_of(request.headers.get("Accept"), ACCEPTED_IMAGES[:-1], otherwise="image/png")
    response = response_of(answer_of(406)) if chosen is None else _picture(chosen)
    response.headers["Vary"] = "Accept"  # RFC 9110 §12.5.5
    return response


def _picture(media_type: str) -> web.Response:
    return web.Response(body=_data(_IMAGES[media_type]), content_type=media_type)


async def gzipped(request: web.Request) -> web.Response:
    """JSON in gzip, whatever the client accepts."""
    return _coded(request, "gzip", gzip.compress(_mirror(request, "gzipped"), mtime=0))


async def deflated(request: web.Request) -> web.Response:
    """JSON in deflate, which is the zlib format (RFC 9110 §8.4.1.2)."""
    return _coded(request, "deflate", zlib.compress(_mirror(request, "deflated")))


async def brotlied(request: web.Request) -> web.Response:
    """JSON in Brotli (RFC 7932)."""
    return _coded(request, "br", brotli.compress(_mirror(request, "brotli"), quality=5))


def _mirror(request: web.Request, flag: str) -> bytes:
    seen = mirrored(request)
    return json_octets({"origin": origin_of(seen), "headers": headers_of(seen), "method": request.method, flag: True})


def _coded(request: web.Request, coding: str, octets: bytes) -> web.Response:
    return web.Response(body=octets, content_type="application/json", headers={"Content-Encoding": coding})


GROUPS = (
    Group(
        "Formats and codings",
        (
            get("/html", document("prose.html", "text/html", "utf-8"), "A page of prose."),
            get("/json", document("slides.json", "application/json"), "A small JSON document."),
            get("/xml", document("slides.xml", "application/xml"), "A small XML document."),
            get("/encoding/utf8", document("scripts.html", "text/html", "utf-8"), "Many scripts in UTF-8."),
            get("/robots.txt", document("robots.txt", "text/plain"), "Rules for robots."),
            get("/deny", document("deny.txt", "text/plain"), "A page that /robots.txt closes."),
            get("/gzip", gzipped, "JSON in gzip."),
            get("/deflate", deflated, "JSON in deflate."),
            get("/brotli", brotlied, "JSON in Brotli."),
            get("/forms/post", document("form.html", "text/html", "utf-8"), "A form that posts to /post."),
        ),
    ),
    Group(
        "Images",
        (
            get("/image", image, "A picture in the type that Accept likes best; 406 when it likes none."),
            get("/image/png", document("yard.png", "image/png"), "The picture as PNG."),
            get("/image/jpeg", document("yard.jpg", "image/jpeg"), "The picture as JPEG."),
            get("/image/webp", document("yard.webp", "image/webp"), "The picture as WebP."),
            get("/image/svg", document("yard.svg", "image/svg+xml"), "The picture as SVG."),
        ),
    ),
)
