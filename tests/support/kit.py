"""What every testbed of the kit must do, wherever it runs: a subclass gives the fixture `testbed`."""

from __future__ import annotations

import datetime as dt
import ftplib
import imaplib
import io
import poplib
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator

import aiohttp
import asyncssh
import dns.message
import dns.query
import pytest

from portyard.testing import Account, ControlError, NothingCameError, Sandbox, Service, Testbed, events, mail
from portyard.testing import sandbox as sandboxes
from tests.support.asyncio_tests import run

LIMIT_S = 60.0


def deliver(sandbox: Sandbox, subject: str, to: str = "someone") -> None:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        text = f"From: shop@harbour.test\r\nSubject: {subject}\r\n\r\nYour code is 418207\r\n"
        client.sendmail("shop@harbour.test", [f"{to}@{sandbox.domain}"], text)


def imap(service: Service, account: Account) -> imaplib.IMAP4:
    client = imaplib.IMAP4(service.host, service.port, timeout=LIMIT_S)
    client.login(account.address, account.password)
    return client


def ftp(service: Service, account: Account) -> ftplib.FTP:
    client = ftplib.FTP(timeout=LIMIT_S)
    client.connect(service.host, service.port)
    client.login(account.address, account.password)
    return client


def sftp_writes(service: Service, account: Account, path: str, content: str) -> None:
    async def main() -> None:
        async with (
            asyncssh.connect(
                service.host,
                service.port,
                username=account.address,
                password=account.password,
                known_hosts=None,
                config=None,
                client_keys=None,
                agent_path=None,
            ) as connection,
            connection.start_sftp_client() as client,
            client.open(path, "w") as file,
        ):
            await file.write(content)

    run(main())


def get(url: str, context: ssl.SSLContext | None = None) -> bytes:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    with opener.open(url, timeout=LIMIT_S) as answer:
        return bytes(answer.read())


class KitContract:
    @pytest.fixture
    def sandbox(self, testbed: Testbed) -> Iterator[Sandbox]:
        with testbed.own_sandbox() as own:
            yield own

    @pytest.fixture
    def mira(self, sandbox: Sandbox) -> Account:
        return sandbox.account("mira", "m-secret")

    def test_mail_comes_and_both_readers_see_it(self, sandbox: Sandbox, mira: Account) -> None:
        deliver(sandbox, "hello", to="mira")
        message = sandbox.mail.wait(subject="hello", timeout=LIMIT_S)
        assert message.to == [mira.address]
        assert message.codes == ["418207"]
        reader = imap(sandbox.imap, mira)
        assert reader.select("INBOX")[1] == [b"1"]
        reader.logout()
        other = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
        other.user(mira.address)
        other.pass_(mira.password)
        assert b"Subject: hello" in other.retr(1)[1]
        other.quit()

    def test_mail_is_submitted_through_every_hop(self, sandbox: Sandbox, mira: Account, testbed: Testbed) -> None:
        context = testbed.ssl_context()
        with smtplib.SMTP(sandbox.submission.host, sandbox.submission.port, timeout=LIMIT_S) as client:
            client.starttls(context=context)
            client.login(mira.address, mira.password)
            client.sendmail(mira.address, [f"other@{sandbox.domain}"], "Subject: by hand\r\n\r\n")
        assert sandbox.mail.wait(to="other", subject="by hand", timeout=LIMIT_S).account == f"other@{sandbox.domain}"

    def test_one_folder_behind_four_doors(self, sandbox: Sandbox, mira: Account) -> None:
        client = ftp(sandbox.ftp, mira)
        client.storbinary("STOR by-ftp.txt", io.BytesIO(b"passive"))
        assert client.trust_server_pasv_ipv4_address is False
        client.trust_server_pasv_ipv4_address = True  # the address of 227 is as true as its port
        assert client.sendcmd("PASV").startswith("227")
        assert client.nlst() == ["by-ftp.txt"]
        client.af = client.af.__class__.AF_INET6  # EPSV
        assert client.makepasv()[0] == client.sock.getpeername()[0]
        client.quit()
        sftp_writes(sandbox.ssh, mira, "by-sftp.txt", "secure")
        files = sandbox.files(mira)
        files.put("in/by-kit.txt", "neither")
        assert files.get("by-ftp.txt") == b"passive"
        assert files.get("by-sftp.txt") == b"secure"
        assert set(files.list()) == {"by-ftp.txt", "by-sftp.txt", "in"}
        assert "in/by-kit.txt" in files
        assert "by-mail.txt" not in files

    def test_web(self, sandbox: Sandbox, testbed: Testbed) -> None:
        assert b"tide" in get(sandbox.http.url("/anything?tide=high"))
        assert b"tide" in get(sandbox.http.url("/anything?tide=low", tls=True), testbed.ssl_context())

        async def main() -> None:
            async with aiohttp.ClientSession() as session, session.ws_connect(sandbox.websocket.url("/echo")) as socket:
                await socket.send_str("ahoy")
                assert (await socket.receive(LIMIT_S)).data == "ahoy"

        run(main())
        secure = sandbox.websocket.url("/echo", tls=True)
        assert secure.startswith(f"wss://{sandbox.websocket.host}:{sandbox.websocket.ports['wss']}/")
        with pytest.raises(urllib.error.HTTPError) as caught:  # TLS is there, and asks for an upgrade
            get(secure.replace("wss:", "https:"), testbed.ssl_context())
        assert 400 <= caught.value.code < 500
        caught.value.close()
        sandbox.events.wait(2, room="websocket", kind="closed", timeout=LIMIT_S)
        assert {session["room"] for session in sandbox.sessions()} == {"http", "websocket"}

    def test_names(self, sandbox: Sandbox) -> None:
        sandbox.record(f"www.{sandbox.domain}", "A", "192.0.2.7")
        query = dns.message.make_query(f"www.{sandbox.domain}", "A")
        service = sandbox.dns
        for ask, port in ((dns.query.udp, "dns-udp"), (dns.query.tcp, "dns-tcp")):
            answer = ask(query, service.host, port=service.ports[port], timeout=LIMIT_S)
            assert answer.answer[0][0].to_text() == "192.0.2.7"

    def test_rules_count_and_hit(self, sandbox: Sandbox) -> None:
        rule = sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", times=2)
        for _ in range(2):
            with pytest.raises(smtplib.SMTPRecipientsRefused, match="later"):
                deliver(sandbox, "retried")
        deliver(sandbox, "retried")
        assert sandbox.mail.wait(subject="retried", timeout=LIMIT_S)
        assert rule.hits == 2
        assert sandbox.rules()[0]["spent"]
        assert len(sandbox.events.wait(2, room="smtp", kind="fault", timeout=LIMIT_S)) == 2
        rule.remove()
        assert sandbox.rules() == []

    def test_a_stub_answers(self, sandbox: Sandbox) -> None:
        sandbox.http.respond(on="request", status=503, body="$path is closed", times=1)
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(sandbox.http.url("/harbour"))
        assert caught.value.code == 503
        caught.value.close()

    def test_a_stubs_rule_has_what_every_rule_has(self, sandbox: Sandbox) -> None:
        fields = {"name": "later", "skip": 1, "every": 2, "times": 3, "per": "session", "where": {"method": "PUT"}}
        sandbox.http.respond(on="request", status=503, **fields)
        (told,) = sandbox.rules()
        assert {name: told[name] for name in fields} == fields
        assert told["then"] == {"respond": {"status": 503}}

    def test_a_lease_hears_faults_before_any_name(self, sandbox: Sandbox, testbed: Testbed, mira: Account) -> None:
        common = sandbox.imap.port
        sandbox.imap.refuse("* BYE overloaded", on="greeting", times=1)
        assert sandbox.imap.port != common
        with pytest.raises(imaplib.IMAP4.error, match="overloaded"):
            imap(sandbox.imap, mira)
        imap(sandbox.imap, mira).logout()
        with testbed.own_sandbox() as other:
            imap(other.imap, other.account("noa")).logout()

    def test_certificates_by_name(self, sandbox: Sandbox, testbed: Testbed) -> None:
        sandbox.http.bad_tls("expired")
        with pytest.raises(urllib.error.URLError, match="expired"):
            get(sandbox.http.url(tls=True), testbed.ssl_context())

    def test_the_clock_stamps(self, sandbox: Sandbox) -> None:
        sandbox.clock.freeze("2030-01-02T03:04:05Z")
        deliver(sandbox, "then")
        assert sandbox.mail.wait(subject="then", timeout=LIMIT_S).fields["received_at"] == "2030-01-02T03:04:05Z"
        sandbox.clock.advance("2h")
        deliver(sandbox, "later")
        assert sandbox.mail.wait(subject="later", timeout=LIMIT_S).fields["received_at"] == "2030-01-02T05:04:05Z"
        sandbox.clock.real()

    def test_waits_tell_what_came_instead(self, sandbox: Sandbox) -> None:
        sandbox.mail.none(timeout=0.05)
        sandbox.events.none(kind="auth", timeout=0.05)
        deliver(sandbox, "something else")
        sandbox.mail.wait(subject="something else", timeout=LIMIT_S)
        with pytest.raises(NothingCameError, match=r"something else.*subject"):
            sandbox.mail.wait(subject="invoice", timeout=0.1)
        with pytest.raises(NothingCameError, match="imap"):
            sandbox.events.wait(room="imap", timeout=0.1)
        with pytest.raises(AssertionError, match="it came"):
            sandbox.mail.none(subject="else", timeout=0.1)
        with pytest.raises(AssertionError, match="it happened"):
            sandbox.events.none(room="smtp", kind="command", timeout=0.1)

    def test_the_transcript_is_a_talk(self, sandbox: Sandbox) -> None:
        deliver(sandbox, "written down")
        sandbox.mail.wait(subject="written down", timeout=LIMIT_S)
        assert "C: MAIL FROM:<shop@harbour.test>" in sandbox.transcript()

    def test_lists_are_whole_however_many_pages_they_have(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (events, mail, sandboxes):
            monkeypatch.setattr(module, "PAGE", 2)
        subjects = [f"no. {number}" for number in range(5)]
        for subject in subjects:
            deliver(sandbox, subject)
            sandbox.mail.wait(subject=subject, timeout=LIMIT_S)
        assert [message.subject for message in sandbox.mail.all()] == subjects[::-1]
        sandbox.events.wait(5, room="smtp", kind="closed", timeout=LIMIT_S)
        every = sandbox.events.all()
        sessions = {each["id"] for each in sandbox.sessions()}
        assert len(sessions) >= 5
        assert {each["session"] for each in every} == sessions
        assert len({each["id"] for each in every}) == len(every) > 4 * len(sessions)
        moments = [dt.datetime.fromisoformat(each["at"]) for each in every]
        assert moments == sorted(moments)
        said = [each["fields"]["text"] for each in sandbox.events.all(room="smtp", text="RCPT*", kind="command")]
        assert len(said) >= 5

    def test_sandboxes_never_meet(self, testbed: Testbed) -> None:
        with testbed.own_sandbox() as one, testbed.own_sandbox() as other:
            one.smtp.refuse("550 5.7.1 not here", on="rcpt")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                deliver(one, "to one")
            deliver(other, "to other")
            other.mail.wait(subject="to other", timeout=LIMIT_S)
            assert one.mail.all() == []
            assert {s["id"] for s in one.sessions()}.isdisjoint(s["id"] for s in other.sessions())

    def test_a_reset_empties(self, sandbox: Sandbox, mira: Account) -> None:
        deliver(sandbox, "first", to="mira")
        sandbox.mail.wait(subject="first", timeout=LIMIT_S)
        sandbox.files(mira).put("kept.txt", b"no")
        sandbox.reset()
        assert sandbox.mail.all() == []
        assert sandbox.sessions() == []
        assert sandbox.files(mira).list() == {}
        imap(sandbox.imap, mira).logout()  # accounts stay

    def test_what_is_wrong_is_refused_with_the_reason(self, sandbox: Sandbox, testbed: Testbed) -> None:
        with pytest.raises(ControlError, match="rcpt"):
            sandbox.smtp.refuse("451 later", on="rctp")
        with pytest.raises(ControlError, match=sandbox.name) as caught:
            testbed.sandbox(sandbox.name)
        assert caught.value.status == 409

    def test_endpoints_tell_where_data_connections_go(self, sandbox: Sandbox, testbed: Testbed, mira: Account) -> None:
        told = {each["service"]: each["passive_ports"] for each in testbed.endpoints}
        assert {service for service, ports in told.items() if ports} <= {"ftp"}
        client = ftp(sandbox.ftp, mira)
        number = client.makepasv()[1]
        client.close()
        first, _, last = (told["ftp"] or "1-65535").partition("-")  # none are told where any will do
        assert int(first) <= number <= int(last)

    def test_endpoints_are_where_clients_connect(self, testbed: Testbed) -> None:
        default = testbed.default()
        reader = imaplib.IMAP4_SSL(
            default.imap.host, default.imap.tls_port, ssl_context=testbed.ssl_context(), timeout=LIMIT_S
        )
        reader.login("alice", "alice-secret")
        reader.logout()
