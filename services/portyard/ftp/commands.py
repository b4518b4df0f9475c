"""The commands on files and data connections that pyftpdlib's don't do, or do otherwise than RFC 959, 1123, 2428 and 3659 say."""

from __future__ import annotations

import contextlib
import posixpath
import socket
from collections.abc import Iterator

from portyard.ftp.card import CARD
from portyard.ftp.core.addresses import (
    BadAddressError,
    HostPort,
    UnsupportedProtocolError,
    parse_eprt,
    parse_port,
    refusal,
)
from portyard.ftp.core.ascii import ToNetwork
from portyard.ftp.core.listing import (
    DEFAULT_FACTS,
    BadTimeError,
    choose_facts,
    features_facts,
    one_line,
    parse_time_value,
    split_pattern,
    strip_options,
    time_value,
)
from portyard.ftp.core.replies import file_refused
from portyard.ftp.data import Producer
from portyard.ftp.hosted import BufferedIteratorProducer, FTPHandler
from portyard.ftp.login import Login

ASCII_SIZE_LIMIT = 4 << 20  # octets that are read to answer SIZE under TYPE A: some milliseconds
LINES_A_WRITE = 200  # of a listing: few writes, and still a short turn of the loop
# What needs a data connection to be arranged first.
DATA_COMMANDS = frozenset({"RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"})
# Known and not implemented (RFC 959 §4.2.2: 502), rather than not understood (500).
_NOT_IMPLEMENTED = frozenset({"SMNT", "ADAT", "MIC", "CONF", "ENC", "LANG", "LPRT", "LPSV"})


def _entry(text: str, *, auth: bool = False, arg: bool | None = True) -> dict[str, object]:
    return {"perm": None, "auth": auth, "arg": arg, "help": f"Syntax: {text}"}


class Commands(Login):
    """A whole control connection."""

    proto_cmds = FTPHandler.proto_cmds | {
        "ACCT": _entry("ACCT <SP> account-information (none is needed)."),
        "AUTH": _entry("AUTH <SP> TLS | TLS-C | TLS-P | SSL (turn to TLS)."),
        "PBSZ": _entry("PBSZ <SP> 0 (protection buffer size)."),
        "PROT": _entry("PROT <SP> C | P (data connections clear or private)."),
        "CCC": _entry("CCC (never granted).", arg=False),
        "HOST": _entry("HOST <SP> host-name (name the virtual host)."),
        "OPTS": FTPHandler.proto_cmds["OPTS"] | {"auth": False},  # clients say OPTS UTF8 ON before they log in
    }

    _restart_position: int

    # Before every command

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """`ls` options of LIST and NLST are passed over; unimplemented commands are told from unknown ones."""
        if cmd in _NOT_IMPLEMENTED:
            self.respond("502 Command not implemented.")
            return
        if cmd in ("LIST", "NLST", "STAT"):
            arg = strip_options(arg)
        super().pre_process_command(line, cmd, arg)

    def process_command(self, cmd: str, *args: object, **kwargs: object) -> None:
        """A transfer needs a data connection, or a port on which one is awaited."""
        if cmd in ("PASV", "EPSV", "PORT", "EPRT"):
            self.no_data = ""
        elif cmd in DATA_COMMANDS and self.no_data:
            declined, self.no_data = self.no_data, ""
            self.respond(declined)
            return
        arranged = self.data_channel or self._dtp_acceptor or self._dtp_connector
        if cmd in DATA_COMMANDS and not arranged:
            self.respond("425 Use PASV, EPSV, PORT or EPRT first.")
            return
        super().process_command(cmd, *args, **kwargs)

    # Data connections

    def ftp_PORT(self, line: str) -> None:
        """Connect to the client (IPv4)."""
        if self._epsvall:
            self.respond("503 EPSV ALL was said.")
            return
        try:
            target = parse_port(line)
        except BadAddressError:
            self.respond("501 PORT takes six numbers of one octet each.")
            return
        self.connect_to(target)

    def ftp_EPRT(self, line: str) -> None:
        """Connect to the client (RFC 2428 §2)."""
        if self._epsvall:
            self.respond("503 EPSV ALL was said.")
            return
        try:
            target = parse_eprt(line, ipv6=self._over_ipv6())
        except UnsupportedProtocolError:
            self.respond(self._wrong_protocol())
        except BadAddressError:
            self.respond("501 EPRT takes |protocol|address|port|.")
        else:
            self.connect_to(target)

    def connect_to(self, target: HostPort) -> None:
        """Make an active data connection."""
        refused = refusal(target, self.remote_ip)
        if refused:
            self.respond(refused)
            return
        self._make_eport(self.remote_ip, target.port)

    def ftp_PASV(self, line: str) -> None:
        """Listen for the client (IPv4)."""
        if self._epsvall:
            self.respond("503 EPSV ALL was said.")
        elif self._over_ipv6():
            self.respond("425 PASV has no place for an IPv6 address: use EPSV.")
        else:
            self._make_epasv(extmode=False)

    def ftp_EPSV(self, line: str) -> None:
        """Listen for the client (RFC 2428 §3)."""
        if line.upper() == "ALL":
            self._epsvall = True
            self.respond("200 EPSV only from now on.")
        elif not line or line == ("2" if self._over_ipv6() else "1"):
            self._make_epasv(extmode=True)
        elif line.isdecimal():
            self.respond(self._wrong_protocol())
        else:
            self.respond("501 EPSV takes a protocol's number or ALL.")

    def _over_ipv6(self) -> bool:
        return self.family == socket.AF_INET6 and ":" in self.remote_ip

    def _wrong_protocol(self) -> str:
        return f"522 Network protocol not supported, use ({'2' if self._over_ipv6() else '1'})."  # RFC 2428 §2

    def ftp_ABOR(self, line: str) -> None:
        """Abort the transfer: 426 for it, then 226 for ABOR; 225 where there is none (RFC 959 §5.4)."""
        running = self._transferring()
        self._shutdown_connecting_dtp()
        pending = self.drop_pending()
        if self.data_channel is not None:
            self.data_channel.abort("426 Transfer aborted." if running and not pending else "")
        if pending:
            self.respond("426 Transfer aborted.")
        self.respond("226 ABOR done." if running else "225 Nothing to abort.")
        self.ioloop.call_later(0, self._work)

    # Transfers

    def ftp_RETR(self, file: str) -> None:
        """Send a file."""
        offset, self._restart_position = self._restart_position, 0
        try:
            opened = self.fs.retrieve(file)
        except OSError as error:
            self.respond(file_refused(error))
            return
        if offset > self.fs.getsize(file):
            opened.close()
            self.respond("554 The file ends before the REST marker.")  # RFC 1123 §4.1.3.4
            return
        opened.seek(offset)
        self.push_dtp_data(Producer(opened, self._current_type), isproducer=True, file=opened, cmd="RETR")

    def ftp_LIST(self, path: str) -> None:
        """List long."""
        try:
            lines = self._long_lines(path)
        except OSError as error:
            self.respond(file_refused(error))
            return
        self._send_lines(lines, "LIST")

    def _long_lines(self, path: str) -> Iterator[str]:
        pattern = split_pattern(path)
        if pattern is None or self.fs.lexists(path):
            found: Iterator[str] = self.fs.list_lines(path)
        else:
            found = self.fs.matching_lines(*pattern)
        return found

    def ftp_NLST(self, path: str) -> None:
        """List names; those that a pattern matched as its directory was given (RFC 1123 §4.1.2.7: they can be used as they are)."""
        try:
            names = self._names(path)
        except OSError as error:
            self.respond(file_refused(error))
            return
        self._send_lines((one_line(name) for name in names), "NLST")

    def _names(self, path: str) -> list[str]:
        pattern = split_pattern(path)
        if pattern is None or self.fs.lexists(path):
            names: list[str] = self.fs.names(path)
            return names
        folder, mask = pattern
        here = folder == self.fs.cwd
        return [name if here else posixpath.join(folder, name) for name in self.fs.matching_names(folder, mask)]

    def ftp_MLSD(self, path: str) -> None:
        """List facts."""
        if not self.fs.isdir(path):
            self.respond("501 Not a directory." if self.fs.lexists(path) else "550 No such file or directory.")
            return
        try:
            lines = self.fs.facts_lines(path, tuple(self._current_facts))
        except OSError as error:
            self.respond(file_refused(error))
            return
        self._send_lines(lines, "MLSD")

    def _send_lines(self, lines: Iterator[str], cmd: str) -> None:
        octets = (f"{line}\r\n".encode("utf-8", "surrogateescape") for line in lines)
        producer = BufferedIteratorProducer(octets)
        producer.loops = LINES_A_WRITE
        self.push_dtp_data(producer, isproducer=True, cmd=cmd)

    def ftp_MLST(self, path: str) -> None:
        """One entry's facts, on the control connection."""
        try:
            line = self.fs.facts_of(path, tuple(self._current_facts))
        except OSError as error:
            self.respond(file_refused(error))
            return
        self.push(f"250-Listing {one_line(self.fs.fs2ftp(path))}\r\n {line}\r\n")
        self.respond("250 End")

    def ftp_STAT(self, path: str) -> None:
        """The session's state, or a listing on the control connection."""
        if not path:
            super().ftp_STAT("")
            return
        try:
            lines = [f" {line}\r\n" for line in self.fs.list_lines(path)]
        except OSError as error:
            self.respond(file_refused(error))
            return
        self.push(f"213-Status of {one_line(self.fs.fs2ftp(path))}:\r\n{''.join(lines)}")
        self.respond("213 End of status.")

    # Directories and files

    def ftp_CWD(self, path: str) -> None:
        """Change the directory."""
        try:
            self.fs.chdir(path)
        except OSError as error:
            self.respond(file_refused(error))
        else:
            self.respond(f'250 "{_quoted(self.fs.cwd)}" is the current directory.')

    def ftp_MFMT(self, path: str, timeval: str) -> None:
        """Set a file's time of modification."""
        try:
            seconds = parse_time_value(timeval)
        except BadTimeError:
            self.respond("501 A time is YYYYMMDDHHMMSS.")
            return
        try:
            self.fs.utime(path, seconds)
        except OSError as error:
            self.respond(file_refused(error))
        else:
            self.respond(f"213 Modify={time_value(seconds)}; {self.fs.fs2ftp(path)}")

    def ftp_SIZE(self, path: str) -> None:
        """The octets that RETR would send now, so under TYPE A with line endings converted (RFC 3659 §4)."""
        try:
            size = self.fs.getsize(path)
            if not self.fs.isfile(path):
                self.respond("550 Not a regular file.")
            elif self._current_type == "i":
                self.respond(f"213 {size}")
            elif size > ASCII_SIZE_LIMIT:
                self.respond("550 Too large to count in ASCII: say TYPE I.")
            else:
                self.respond(f"213 {self._ascii_size(path)}")
        except OSError as error:
            self.respond(file_refused(error))

    def _ascii_size(self, path: str) -> int:
        with contextlib.closing(self.fs.retrieve(path)) as file:
            return len(ToNetwork().feed(file.read()))

    def ftp_MDTM(self, path: str) -> None:
        """A file's time of modification (RFC 3659 §3)."""
        try:
            seconds = self.fs.getmtime(path)
        except OSError as error:
            self.respond(file_refused(error))
        else:
            self.respond(f"213 {time_value(seconds)}")

    # What we are

    def ftp_FEAT(self, line: str) -> None:
        """What is served beyond RFC 959 (RFC 2389 §3): the card's capabilities."""
        features = [self._mlst_feature() if name == "MLST" else name for name in CARD.capabilities]
        self.push("211-Features:\r\n" + "".join(f" {name}\r\n" for name in features))
        self.respond("211 End")

    def _mlst_feature(self) -> str:
        return f"MLST {features_facts(self._current_facts)}"

    def ftp_OPTS(self, line: str) -> None:
        """Options of a command (RFC 2389 §4)."""
        name, _, argument = line.partition(" ")
        match name.upper():
            case "MLST":
                self._current_facts = list(choose_facts(argument))
                shown = "".join(f"{fact};" for fact in self._current_facts)
                self.respond(f"200 MLST OPTS {shown}".rstrip())
            case "UTF8" | "UTF-8" if argument.upper() in ("", "ON"):
                self.respond("200 Always UTF-8.")
            case "UTF8" | "UTF-8":
                self.respond("504 Always UTF-8.")
            case _:
                self.respond("501 That command has no options.")

    def ftp_NOOP(self, line: str) -> None:
        """Nothing."""
        self.respond("200 OK.")

    def flush_account(self) -> None:
        """Forget who it was, and what was chosen."""
        super().flush_account()
        self._current_facts = list(DEFAULT_FACTS)


def _quoted(path: str) -> str:
    return path.replace('"', '""')  # RFC 959, Appendix II
