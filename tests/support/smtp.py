"""What the mail chain's talks share at every height, and a spool without a relay."""

from __future__ import annotations

import base64
import itertools

from portyard.commons.scenario.personas import facts, worn
from portyard.commons.settings import Limits as SettingLimits
from portyard.commons.talk.model import Talk
from portyard.commons.yard import Yard
from portyard.smtp.backlog import Backlog
from portyard.smtp.card import CARD
from portyard.smtp.core.context import Context, Limits, Role, limits_with, role_with
from portyard.smtp.core.framing import Framing
from portyard.smtp.core.hop import print_hop, print_pass
from portyard.smtp.core.model import Hop, Peer
from portyard.smtp.core.quirks import Quirks
from portyard.smtp.core.roles.mda import Delivery
from portyard.smtp.core.roles.msa import Submission
from portyard.smtp.core.roles.mta import Exchange
from portyard.smtp.core.session import Session
from portyard.smtp.core.stores import Door
from portyard.smtp.core.verbs import VOCABULARY
from portyard.smtp.spool import SqlSpool
from tests.support.personas import dress
from tests.support.talk_peers import CorePeer

PORTS = {"msa": "submission", "mta": "smtp", "mda": "lmtp"}
PRELUDES = {
    "greeted": "S: 220 $\n",
    "ready": "S: 220 $\nC: EHLO client.test\nS: ...\nS: 250 HELP\n",
    "lmtp": "S: 220 $\nC: LHLO client.test\nS: ...\nS: 250 HELP\n",
}


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def public_bindings() -> dict[str, str]:
    """What talks may name that any client knows."""
    return {
        "plain": base64_of("\0alice@portyard.test\0alice-secret"),
        "short_plain": base64_of("\0alice\0alice-secret"),
        "wrong_plain": base64_of("\0alice@portyard.test\0wrong"),
        "other_authzid": base64_of("bob@portyard.test\0alice@portyard.test\0alice-secret"),
        "name64": base64_of("alice@portyard.test"),
        "password64": base64_of("alice-secret"),
        "t1_plain": base64_of("\0nobody@t1.test\0wrong"),
        "wrong64": base64_of("wrong"),
        "received": "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n" * 101,
    }


async def bindings(yard: Yard) -> dict[str, str]:
    """What talks may name."""
    sandbox = await yard.sandboxes.get("default")
    assert sandbox is not None
    return public_bindings() | {
        "hop": print_hop(Hop("one", "default", sandbox.generation), yard.secret),
        "inside": print_pass(yard.secret),
        "old_taker": print_hop(Hop("one", "default", sandbox.generation - 1), yard.secret),
        "old_hop": print_hop(Hop("two", "default", sandbox.generation - 1), yard.secret),
    }


def settings_of(talk: Talk) -> dict[str, object]:
    """The settings that a talk's headers ask for."""
    changes: dict[str, object] = {"require_tls": "require-tls" in talk.headers}
    if "capture" in talk.headers:
        changes["capture"] = talk.headers["capture"]
    if "magic" in talk.headers:
        changes["magic"] = True
    if "message-limit" in talk.headers:
        changes["limits"] = SettingLimits(message=int(talk.headers["message-limit"]))
    return changes


async def make_sandboxes(yard: Yard, talk: Talk) -> None:
    """Those of the talk's headers: `sandboxes: t1 t2=own`, each with an account u whose password is pw."""
    for word in talk.headers.get("sandboxes", "").split():
        name, _, capture = word.partition("=")
        await yard.sandboxes.create(name, capture=capture or "any")
        await yard.accounts.create(name, f"u@{name}.test", "pw")


async def open_spool(yard: Yard, hop: str) -> SqlSpool:
    """A spool that nobody relays."""
    return await SqlSpool.open(
        yard.mail_database,
        hop,
        yard.state / "spool",
        lambda sandbox: yard.clocks.now(sandbox).timestamp(),
        Backlog(),
        lambda: None,
    )


async def door_of(yard: Yard, role: str) -> Door:
    host = f"{role}.portyard.test"
    if role == "mda":
        return Delivery(yard.sandboxes, yard.accounts, yard.mail, yard.clocks, host)
    spool = await open_spool(yard, role)
    if role == "msa":
        return Submission(yard.sandboxes, spool, yard.clocks, host)
    return Exchange(yard.sandboxes, yard.accounts, spool, yard.clocks, host)


async def core_peer(yard: Yard, role: str, *, encrypted: bool = False) -> CorePeer:
    """A client's end of a role's core."""
    ids = itertools.count(1)
    yard.gate.learn(VOCABULARY)
    gate = yard.gate.session("smtp", session="core", peer="192.0.2.1", role=role, port=PORTS[role])
    await dress(yard, gate, CARD, role)
    quirks, host = worn(gate, Quirks), f"{role}.portyard.test"
    itself = Role(role, host, lmtp=role == "mda", auth=role == "msa", require_tls=yard.settings.require_tls)
    context = Context(
        role=role_with(itself, quirks),
        limits=limits_with(Limits(message=yard.settings.limits.message), quirks),
        accounts=yard.accounts,
        door=await door_of(yard, role),
        secret=yard.secret,
        mint=lambda: f"id{next(ids)}",
        join=lambda sandbox: setattr(gate, "sandbox", sandbox),
        part=lambda: None,
        peer=Peer("192.0.2.1", tls="TLSv1.3" if encrypted else ""),
        gate=gate,
        quirks=quirks,
        facts=facts(host, "192.0.2.1", "core", yard.clock.now()),
    )
    return CorePeer(Session(context), Framing(), yard, gate)
