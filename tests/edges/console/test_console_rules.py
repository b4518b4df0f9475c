"""Rules over the API: held against what the rooms declare, set whole or not at all, their hits shown."""

from __future__ import annotations

import asyncio
import poplib
from pathlib import Path
from urllib.parse import quote

import pytest

from portyard.pop3.card import CARD as POP3
from tests.support.asyncio_tests import run
from tests.support.console import Console, console

GREYLIST = {
    "name": "greylist",
    "on": "smtp.rcpt",
    "where": {"recipient": "*@t1.test"},
    "times": 2,
    "then": {"refuse": "451 4.7.1 try again later"},
}
RULES = "sandboxes/t1/rules"
TOML = """
[[rule]]
name = "busy"
on = "pop3.stat"
times = 2
then = { refuse = "-ERR busy" }

[[rule]]
on = "imap.*"
then = [{ delay = "10ms" }, { hang_up = true }]
"""


async def sandbox(client: Console) -> None:
    await client.ask("POST", "sandboxes", 201, {"name": "t1"})
    await client.ask("POST", "sandboxes/t1/accounts", 201, {"name": "u1", "password": "pw1"})


def test_one_rule(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            made = await client.ask("POST", RULES, 201, GREYLIST)
            assert made.items() >= {**GREYLIST, "hits": 0, "matched": 0, "spent": False, "warnings": []}.items()
            assert (made["skip"], made["every"], made["chance"], made["per"]) == (0, 1, 1.0, None)
            assert await client.get(f"{RULES}/{made['id']}") == made
            assert await client.get(RULES) == [made]
            other = {"on": "imap.fetch", "times": 1, "then": {"hang_up": True}}
            replaced = await client.ask("PUT", f"{RULES}/{made['id']}", 200, other)
            assert (replaced["id"], replaced["on"], replaced["name"]) == (made["id"], "imap.fetch", "")
            await client.ask("DELETE", f"{RULES}/{made['id']}", 204)
            assert await client.get(RULES) == []
            await client.problem("DELETE", f"{RULES}/{made['id']}", 404)
            await client.problem("PUT", f"{RULES}/{made['id']}", 404, json=other)

    run(main())


def test_a_rule_is_meant_by_its_name_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            made = await client.ask("POST", RULES, 201, GREYLIST)
            odd = await client.ask("POST", RULES, 201, {**GREYLIST, "name": "50% of/all"})
            assert await client.get(f"{RULES}/greylist") == made
            assert await client.get(f"{RULES}/50%25%20of%2Fall") == odd
            replaced = await client.ask("PUT", f"{RULES}/greylist", 200, {**GREYLIST, "times": 3})
            assert (replaced["id"], replaced["times"]) == (made["id"], 3)
            await client.ask("DELETE", f"{RULES}/greylist", 204)
            problem = await client.problem("GET", f"{RULES}/greylist", 404)
            assert (problem["value"], problem["allowed"]) == ("greylist", "an id or a name that the list shows")
            assert [rule["id"] for rule in await client.get(RULES)] == [odd["id"]]

    run(main())


def test_a_rule_by_account_tells_where_nobody_logs_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            made = await client.ask("POST", RULES, 201, {**GREYLIST, "per": "account"})
            assert made["warnings"] == ["per account: at mta and mda nobody logs in, so that it never fires there"]
            told = await client.ask(
                "POST", RULES, 201, {**GREYLIST, "name": "", "per": "account", "where": {"role": "msa"}}
            )
            assert told["warnings"] == []
            here = {"on": "*.stat", "times": 1, "per": "account", "then": {"delay": 1}}  # neither DNS nor an MTA has it
            assert (await client.ask("POST", RULES, 201, here))["warnings"] == []

    run(main())


def test_what_is_refused_is_told_as_it_was_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            for then in ({"reset": True}, {"latency": 0.5}, {"reset": {"after_octets": 500}}):
                problem = await client.problem("POST", RULES, 422, json={"on": "dns.query", "then": then})
                assert {problem["key"].removeprefix("then."): problem["value"]} == then

    run(main())


def test_a_list_and_toml(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            some = await client.ask("POST", RULES, 201, [GREYLIST, {"on": "pop3.stat", "then": {"say": "+OK 0 0"}}])
            assert [rule["on"] for rule in some] == ["smtp.rcpt", "pop3.stat"]
            toml = {"Content-Type": "application/toml"}
            more = await client.ask("POST", RULES, 201, data=TOML.encode(), headers=toml)
            assert [rule["name"] for rule in more] == ["busy", ""]
            assert more[1]["then"] == [{"delay": 0.01}, {"hang_up": True}]
            assert len(await client.get(RULES)) == 4
            await client.ask("DELETE", RULES, 204)
            assert await client.get(RULES) == []

    run(main())


def test_a_rule_is_in_force_when_the_call_returns_and_tells_its_hits(tmp_path: Path) -> None:
    def stats(port: int) -> list[str]:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        client.user("u1@t1.test")
        client.pass_("pw1")
        answers = []
        for _ in range(3):
            try:
                answers.append(f"{client.stat()[0]} messages")
            except poplib.error_proto as error:
                answers.append(error.args[0].decode())
        client.quit()
        return answers

    async def main() -> None:
        async with console(tmp_path, POP3) as client:
            await sandbox(client)
            made = await client.ask(
                "POST", RULES, 201, {"on": "pop3.stat", "times": 2, "then": {"refuse": "-ERR later"}}
            )
            port = client.served.port("pop3")
            assert await asyncio.to_thread(stats, port) == ["-ERR later", "-ERR later", "0 messages"]
            shown = await client.get(f"{RULES}/{made['id']}")
            assert (shown["hits"], shown["spent"]) == (2, True)
            (session,) = await client.get("sandboxes/t1/sessions?room=pop3")
            assert shown["last_session"] == session["id"]
            waited = await client.get("sandboxes/t1/events/wait?kind=fault&count=2&timeout=20")
            assert waited["satisfied"] is True
            page, _ = await client.page("/sandboxes/t1")
            assert "pop3.stat" in page
            assert "-ERR later" in page

    run(main())


@pytest.mark.parametrize(
    ("rule", "key", "says"),
    [
        ({"on": "smpt.rcpt", "then": {"hang_up": True}}, "on", "did you mean smtp?"),
        ({"on": "pop3.statt", "then": {"hang_up": True}}, "on", "did you mean stat?"),
        ({"on": "pop3.stat", "tims": 1, "then": {"hang_up": True}}, "tims", "no such key; did you mean times?"),
        ({"on": "pop3.stat", "then": {"refuze": "-ERR"}}, "then.refuze", "did you mean refuse?"),
        ({"on": "pop3.stat", "then": {"loss": 0.5}}, "then.loss", "TCP repairs lost segments"),
        ({"on": "pop3.stat", "times": -1, "then": {"hang_up": True}}, "times", "expected `int` >= 1"),
        ({"on": "pop3.stat", "where": {"nme": "x"}, "then": {"hang_up": True}}, "where.nme", "no field nme"),
        ({"on": "pop3.user", "where": {"name": "/(/"}, "then": {"hang_up": True}}, "where.name", ""),
        ({"on": "pop3.connect", "then": {"refuse": "-ERR"}}, "then.refuse", ""),
        ({"on": "pop3.connect", "then": {"tls": "expird"}}, "then.tls", "did you mean expired?"),
        ({"on": "pop3.connect", "then": {"persona": "nobody"}}, "then.persona", "persona"),
        ({"then": {"hang_up": True}}, "on", "on is missing"),
        ({"on": "pop3.stat"}, "then", "then is missing"),
        ({"on": "pop3.stat", "then": {}}, "then", "nothing is to be done"),
    ],
)
def test_what_cant_be_is_refused_whole(tmp_path: Path, rule: dict[str, object], key: str, says: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            good = {"on": "pop3.stat", "then": {"hang_up": True}}
            rules = "sandboxes/default/rules"
            alone = await client.problem("POST", rules, 422, json=rule)
            assert alone["key"] == key
            assert says.replace("`", "") in alone["detail"]
            assert alone["allowed"]
            listed = await client.problem("POST", rules, 422, json=[good, rule])
            assert listed["key"] == f"rule[1].{key}"
            made = await client.ask("POST", rules, 201, good)
            await client.problem("PUT", f"{rules}/{made['id']}", 422, json=rule)
            assert await client.get(rules) == [made]

    run(main())


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"\xff", "application/toml", 400),
        (b"[[rule]", "application/toml", 400),
        (b"5", "application/json", 400),
        (b"[1]", "application/json", 422),
        (b'{"rules": []}', "application/json", 422),
        (b'[[rules]]\non = "pop3.stat"', "application/toml", 422),
        (b"[" * 100_000, "application/json", 400),
    ],
)
def test_bodies_that_hold_no_rules(tmp_path: Path, body: bytes, media_type: str, status: int) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = await client.problem(
                "POST", "sandboxes/default/rules", status, data=body, headers={"Content-Type": media_type}
            )
            assert problem["key"]
            assert await client.get("sandboxes/default/rules") == []

    run(main())


def test_a_taken_name_and_an_id_that_isnt_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            made = await client.ask("POST", RULES, 201, GREYLIST)
            problem = await client.problem("POST", RULES, 409, json=GREYLIST)
            assert (problem["key"], problem["value"]) == ("name", "greylist")
            other = await client.ask("POST", RULES, 201, {**GREYLIST, "name": "other"})
            await client.problem("PUT", f"{RULES}/{other['id']}", 409, json=GREYLIST)
            assert len(await client.get(RULES)) == 2
            for number in ("x", "0", "99999999999999999999", made["id"] + "x", "²"):
                assert (await client.problem("GET", f"{RULES}/{number}", 404))["key"] == "id"
            await client.problem("GET", f"sandboxes/default/rules/{made['id']}", 404)

    run(main())


@pytest.mark.parametrize("name", ["a/b", "{a}", "a b?c#d", 'a"b\\c', "%41", "日本", "..."])
def test_a_rule_is_had_by_whatever_name(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            await client.ask("POST", RULES, 201, {"name": name, "on": "pop3.stat", "then": {"hang_up": True}})
            one = f"{RULES}/{quote(name, safe='')}"
            assert (await client.get(one))["name"] == name
            await client.ask("PUT", one, 200, {"name": name, "on": "pop3.list", "then": {"hang_up": True}})
            await client.ask("DELETE", one, 204)
            assert await client.get(RULES) == []
            await client.ask("POST", "sandboxes/t1/accounts", 201, {"name": "{u}", "password": "pw"})
            await client.ask("DELETE", "sandboxes/t1/accounts/%7Bu%7D@t1.test", 204)

    run(main())


def test_before_a_sandbox_is_named_only_default_can_act(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            early = {"on": "pop3.connect", "then": {"reset": True}}
            problem = await client.problem("POST", RULES, 422, json=early)
            assert problem["key"] == "on"
            assert "no sandbox has been named" in problem["detail"]
            await client.ask("POST", "sandboxes/default/rules", 201, early)
            await client.ask("POST", RULES, 201, {"on": "pop3.*", "then": {"hang_up": True}})
            kex = {"on": "ssh.kex", "then": {"hang_up": True}}  # nothing that a client says can come before
            assert "no sandbox has been named" in (await client.problem("POST", RULES, 422, json=kex))["detail"]

    run(main())


@pytest.mark.parametrize(
    ("on", "where", "warned"),
    [
        ("smtp.ehlo", {}, True),
        ("smtp.mail", {}, True),
        ("smtp.mail", {"role": "msa"}, False),  # behind the login
        ("imap.capability", {}, True),
        ("imap.starttls", {}, True),
        ("pop3.stls", {}, True),
        ("ftp.auth", {}, True),
        ("imap.*", {}, False),
        ("smtp.rcpt", {}, False),
        ("*.fetch", {}, False),
        ("*.starttls", {"role": "msa"}, True),
        ("imap.tls", {}, True),
        ("imap.tls", {"server_name": "*.t1.test"}, False),  # which names it
        ("ftp.tls", {"channel": "data"}, False),  # behind the login
    ],
)
def test_what_most_clients_say_before_they_name_a_sandbox_is_warned_of(
    on: str, where: dict[str, str], warned: bool, tmp_path: Path
) -> None:
    rule = {"on": on, "where": where, "then": {"delay": 1}}

    async def main() -> None:
        async with console(tmp_path) as client:
            await sandbox(client)
            made = await client.ask("POST", RULES, 201, rule)
            assert [warning.partition(":")[0] for warning in made["warnings"]] == [on] * warned
            assert [shown["warnings"] for shown in await client.get(RULES)] == [made["warnings"]]
            assert (await client.ask("POST", "sandboxes/default/rules", 201, rule))["warnings"] == []

    run(main())


def test_what_published_ports_hide_is_warned_of(tmp_path: Path) -> None:
    async def main() -> None:
        reset = {"on": "pop3.connect", "then": {"reset": True}}
        async with console(tmp_path / "docker", engine_view="docker") as client:
            made = await client.ask("POST", "sandboxes/default/rules", 201, reset)
            (warning,) = made["warnings"]
            assert "FIN" in warning
            peer = {"on": "pop3.stat", "where": {"peer": "10.*"}, "then": {"hang_up": True}}
            assert "peer" in (await client.ask("POST", "sandboxes/default/rules", 201, peer))["warnings"][0]
            assert [len(rule["warnings"]) for rule in await client.get("sandboxes/default/rules")] == [1, 1]
        async with console(tmp_path / "embedded") as client:
            assert (await client.ask("POST", "sandboxes/default/rules", 201, reset))["warnings"] == []

    run(main())
