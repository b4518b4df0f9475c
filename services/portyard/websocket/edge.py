"""The room on its host: paths, the index page, and what each path does with a socket."""

from __future__ import annotations

from html import escape
from weakref import WeakSet

from aiohttp import web

from portyard.commons.card import Service
from portyard.commons.exchange import House
from portyard.commons.hosted_dates import dating
from portyard.commons.hosted_requests import hosted
from portyard.commons.hosting import Hosting
from portyard.commons.hosting_parser import limits_of
from portyard.commons.naming import Naming
from portyard.commons.yard import Yard
from portyard.websocket import events
from portyard.websocket.core.handshake import Refusal
from portyard.websocket.core.model import MOST_REASON_OCTETS
from portyard.websocket.obeying import describe, lie, stubbed
from portyard.websocket.rooms import Rooms
from portyard.websocket.sockets import OPEN, base_of, close_all, note_extension, open_socket, refused
from portyard.websocket.transport import FramedProtocol

ROOMS = web.AppKey("rooms", Rooms)

_PATHS = (
    (
        "/echo",
        "Every message comes back. The first subprotocol that is offered is agreed to; ?subprotocol=x answers x instead.",
    ),
    (
        "/room/{name:[^/]+}",
        "Every message goes to everybody in the room, the sender too; not to the sender with ?self=0.",
    ),
    ("/deny/{status}", "The upgrade is refused with that status, 400 to 599."),
    (
        "/close/{code}",
        "Closes with that code and ?reason=, after ?after= echoed messages; 1005: without a code, 1006: without a Close.",
    ),
    (
        "/socket.io/",
        "Socket.IO: join(room), leave(room), broadcast(room, data); any other event is echoed and acknowledged.",
    ),
)


async def open_service(yard: Yard, service: Service) -> Hosting:
    """The room's service, ready for connections."""
    house = House(
        Naming(yard.sandboxes, yard.accounts),
        describe,
        lie=lie,
        stub=stubbed,
        verbs=("request", "upgrade"),
        clocks=yard.clocks,
    )
    app = build()
    app.on_response_prepare.append(dating(yard.clocks))
    return await Hosting(app, limits_of(yard.settings), protocol_class=FramedProtocol, house=house).open()


def build() -> web.Application:
    """The application with every path."""
    app = web.Application()
    app[OPEN] = WeakSet()
    app[ROOMS] = Rooms()
    app.on_response_prepare.append(note_extension)
    app.on_shutdown.append(close_all)
    app.router.add_get("/", index, allow_head=True)
    app.router.add_get("/echo", echo, allow_head=False)
    app.router.add_get("/room/{name:[^/]+}", room, allow_head=False)
    app.router.add_get("/close/{code}", close, allow_head=False)
    app.router.add_route("*", "/deny/{status}", deny)
    events.attach(app)
    return app


async def echo(request: web.Request) -> web.StreamResponse:
    """Every message back to its sender."""
    socket = await open_socket(request, subprotocol=request.query.get("subprotocol"))
    async for message in socket.messages():
        await socket.answer(message)
    return socket.response


async def room(request: web.Request) -> web.StreamResponse:
    """Every message to everybody in the room; each sandbox has rooms of its own."""
    hears_self = request.query.get("self", "1").lower() not in ("0", "no", "false")
    socket = await open_socket(request)
    await request.app[ROOMS].stay(
        f"{hosted(request).sandbox}/{request.match_info['name']}", socket, hears_self=hears_self
    )
    return socket.response


async def deny(request: web.Request) -> web.StreamResponse:
    """No upgrade, but the status that the path names."""
    status = _number(request, request.match_info["status"], "status", 400, 599)
    fields = {
        401: {"WWW-Authenticate": 'Basic realm="Portyard"'},
        407: {"Proxy-Authenticate": 'Basic realm="Portyard"'},
    }
    raise refused(Refusal(status, "the upgrade is refused, as the path asks", fields.get(status, {})))


async def close(request: web.Request) -> web.StreamResponse:
    """Open, perhaps echo a little, then close with the code that the path names."""
    code = _number(request, request.match_info["code"], "code", 0, 65535)
    after = _number(request, request.query.get("after", "0"), "after", 0, 1_000_000)
    reason = request.query.get("reason", "")
    if len(reason.encode()) > MOST_REASON_OCTETS:
        raise refused(Refusal(400, f"reason has at most {MOST_REASON_OCTETS} octets"))
    socket = await open_socket(request)
    if after:
        async for message in socket.messages():
            await socket.answer(message)
            after -= 1
            if not after:
                break
        else:
            return socket.response
    await socket.close(code, reason)
    return socket.response


def _number(request: web.Request, text: str, what: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:9]) <= most:
        raise refused(Refusal(400, f"{what} is a number from {least} to {most}, not {text!r}"))
    return int(text[:9])


async def index(request: web.Request) -> web.Response:
    """What there is, for people."""
    base = escape(base_of(request))
    rows = "".join(f"<dt><code>{base}{path}</code></dt><dd>{escape(text)}</dd>\n" for path, text in _PATHS)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Portyard: WebSocket</title><style>'
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        f"dt{{margin-top:1rem}}</style></head>\n<body><h1>Portyard, the WebSocket room</h1>\n<dl>\n{rows}</dl></body></html>\n"
    )
    return web.Response(text=page, content_type="text/html", charset="utf-8")
