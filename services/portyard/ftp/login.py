"""Who it is: HOST, USER, PASS, ACCT, REIN; and how private: AUTH, PBSZ, PROT, CCC (RFC 4217)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress

from portyard.commons.accounts.model import Account, why_ended
from portyard.commons.accounts.sql import COUNTER
from portyard.ftp.files import Files
from portyard.ftp.session import Session

LOGIN_TRIES = 3  # failed logins until the connection is closed (RFC 2577 §5)
LOGIN_DELAY_S = 0.25  # after a failed login: enough to make guessing slow, too little to make a test slow
# What somebody may still say who isn't logged in any more: goodbye, who it is now, and that something is to stop.
_STILL_HEARD = frozenset({"QUIT", "USER", "REIN", "AUTH", "ABOR"})


class Login(Session):
    """A control connection that knows its account.

    Attributes:
        account: Who is logged in.
    """

    account: Account | None = None
    _seen = 0  # where the accounts' counter stood when it was last known that they are

    # The account's end

    def _tell(self, text: str) -> None:
        """See Scripted: a reply as it stands, in no persona's words."""
        raise NotImplementedError

    def _suspects(self, verb: str) -> bool:
        """Whether accounts have changed, so that it has to be asked if the one that logged in is there; what is under way stays so."""
        if self.account is None or self._seen == self.room.yard.control_database.generation(COUNTER):
            return False
        return verb not in _STILL_HEARD and not self._transferring()

    async def _is_somebody(self, account: Account) -> bool:
        """Whether an account is there still; the session of one that isn't ends (RFC 959 §5.4: 421 answers any command)."""
        seen = self.room.yard.control_database.generation(COUNTER)
        words = await why_ended(self.room.yard.accounts, account)
        if words and not self._closed:
            self._tell(f"421 The {words}: closing the control connection.")
            self.reason = words
            self.leave()
        self._seen = seen
        return not (words or self._closed)

    def process_command(self, cmd: str, *args: object, **kwargs: object) -> None:
        """Plaintext logins are refused where the settings say so."""
        needs_tls = self.room.yard.settings.require_tls or self.quirks.login_needs_tls
        if cmd in ("USER", "PASS", "ACCT") and needs_tls and not self.secured:
            self.respond("530 Logins need TLS here: send AUTH TLS first.")
            return
        super().process_command(cmd, *args, **kwargs)

    def ftp_HOST(self, line: str) -> None:
        """Name the virtual host (RFC 7151 §3): the sandbox that owns the domain."""
        if self.authenticated or self.username:
            self.respond("503 HOST comes before USER.")  # RFC 7151 §3.2
        else:
            self.wait_for(self._host(line))

    async def _host(self, name: str) -> None:
        sandbox = await self.room.sandbox_of_host(name)
        if sandbox is None and not _is_literal(name):
            self.respond("504 No such host here.")
            return
        if sandbox is not None:
            self.join(sandbox)
        self.respond("220 Host accepted.")

    def ftp_USER(self, line: str) -> None:
        """Claim a name: the session joins its sandbox now, before any password."""
        if self.authenticated:
            self.flush_account()
        self.wait_for(self._claim(line))

    async def _claim(self, login: str) -> None:
        sandbox = await self.room.sandbox_of_login(login, self.connection.home)
        if sandbox is not None:
            self.join(sandbox)
        self.username = login
        self.respond("331 Password required.")  # the same for any name (RFC 2577 §6)

    def ftp_PASS(self, line: str) -> None:
        """Prove it."""
        if self.authenticated:
            self.respond("503 You are logged in.")
        elif not self.username:
            self.respond("503 USER comes first.")
        else:
            self.wait_for(self._verify(self.username, line))

    async def _verify(self, login: str, password: str) -> None:
        seen = self.room.yard.control_database.generation(COUNTER)
        account = await self.room.yard.accounts.at(self.connection.home).verify(login, password)
        if self._closed:
            return
        if account is None:
            await self._refuse(login)
            return
        settings = self.room.yard.settings
        files = self.room.yard.files.root(account)
        clock = self.room.yard.clocks.of(account.sandbox)
        self.fs = Files(files, account.local_part, settings.limits.upload, clock.now)
        self.account, self._seen = account, seen
        self.authenticated = True
        self.logged_in()
        self.attempted_logins = 0
        self.join(account.sandbox)
        self.pen.authenticated(account.address, "USER")
        if self.gate is not None:
            self.gate.account = account.address
        self.respond("230 Logged in.")

    def logged_in(self) -> None:
        """Somebody logged in, and their files are at hand."""

    async def _refuse(self, login: str) -> None:
        self.username = ""
        self.pen.event("auth", login=login, mechanism="USER", success=False)
        delay_s = self.quirks.login_delay_s
        await asyncio.sleep(LOGIN_DELAY_S if delay_s is None else delay_s)
        self.attempted_logins += 1
        if self.attempted_logins >= LOGIN_TRIES:
            self.part("530 Login incorrect; too many tries.", "too many failed logins")
        else:
            self.respond("530 Login incorrect.")

    def ftp_ACCT(self, line: str) -> None:
        """No account beyond the password (RFC 959 §5.4)."""
        self.respond("202 No ACCT needed." if self.authenticated else "503 USER and PASS come first.")

    def ftp_REIN(self, line: str) -> None:
        """As on a new connection; TLS stays."""
        self.flush_account()
        self.respond("220 Ready for a new user.")  # RFC 959 §5.4

    def flush_account(self) -> None:
        """Forget who it was."""
        if self.data_channel is not None:
            self.data_channel.abort()
        super().flush_account()
        self.account = None
        self._epsvall = False
        if self.gate is not None:
            self.gate.account = ""

    def ftp_QUIT(self, line: str) -> None:
        """Goodbye."""
        self._shutdown_connecting_dtp()
        self.part("221 Goodbye.", "quit")

    # TLS

    def ftp_AUTH(self, line: str) -> None:
        """Upgrade (RFC 4217 §4)."""
        mechanism = line.upper()
        if self.tls_requested:
            self.respond("503 TLS is on already.")
        elif mechanism not in ("TLS", "TLS-C", "SSL", "TLS-P"):
            self.respond("504 Known mechanisms are TLS, TLS-C, TLS-P and SSL.")  # RFC 2228 §3
        else:
            self.flush_account()  # RFC 4217 §4.3: who was said in plaintext is forgotten
            self.respond(f"234 AUTH {mechanism}: begin the handshake.")
            if self.producer_fifo:  # a peer that lets a reply of one line wait: it must not go out encrypted
                self.reason = "tls handshake failed"
                self.close()
                return
            self.sized = self.private_data = mechanism == "TLS-P"
            self.secure()

    def ftp_PBSZ(self, line: str) -> None:
        """Protection buffer size: TLS needs none (RFC 4217 §8)."""
        if not self.secured:
            self.respond("503 AUTH TLS comes first.")
        elif not line.isdecimal() or int(line) >= 1 << 32:
            self.respond("501 A size is a decimal number of 32 bits.")
        else:
            self.sized = True
            self.respond("200 PBSZ=0")

    def ftp_PROT(self, line: str) -> None:
        """The data connection's protection (RFC 4217 §9)."""
        level = line.upper()
        if not self.secured:
            self.respond("503 AUTH TLS comes first.")
        elif not self.sized:
            self.respond("503 PBSZ comes first.")
        elif level in ("S", "E"):
            self.respond("536 TLS protects wholly or not at all: C or P.")
        elif level not in ("C", "P"):
            self.respond("504 Levels are C and P.")
        else:
            self.private_data = level == "P"
            self.respond(
                "200 Data connections are private." if self.private_data else "200 Data connections are in the clear."
            )

    def ftp_CCC(self, line: str) -> None:
        """Never back to plaintext (RFC 4217 §12.3 leaves it to the server)."""
        if self.secured:
            self.respond("534 The control connection stays protected.")
        else:
            self.respond("533 The control connection isn't protected.")


def _is_literal(name: str) -> bool:
    """An IP address, IPv6 in brackets (RFC 7151 §3.1)."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    return False
