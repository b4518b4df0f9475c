"""`portyard send`: make a message, or take one from a file, and hand it to the testbed."""

from __future__ import annotations

import contextlib
import email
import email.policy
import email.utils
import mimetypes
import re
import smtplib
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer

from portyard.cli.engines import CommandError, MistakeError
from portyard.cli.link import Link, Url, linked
from portyard.cli.screen import fail, say
from portyard.commons.authority import authority

TIMEOUT_S = 60.0
STRANGER = "somebody@example.com"
_ENDINGS = re.compile(rb"\r\n|\r|\n")

Senders = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="ADDRESS",
        help=f"Envelope and From. (default: the login, else the file's From, else {STRANGER})",
        show_default=False,
    ),
]
Recipients = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="ADDRESS",
        help="Envelope and To; may be given again. With a file: instead of those in its header.",
    ),
]
Attachments = Annotated[
    list[Path] | None,
    typer.Option(
        "--attach",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        readable=True,
        help="A file to attach; may be given again.",
    ),
]
Letter = Annotated[
    str | None,
    typer.Argument(
        metavar="MESSAGE.eml|-", help="A whole message to send as it is; - reads standard input.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is handed over, and between whom."""

    sender: str
    recipients: list[str]
    octets: bytes


def send(
    letter: Letter = None,
    sender: Senders = None,
    to: Recipients = None,
    subject: Annotated[str, typer.Option(help="The subject.")] = "A message from portyard send",
    text: Annotated[str | None, typer.Option(help="The text; - reads standard input.")] = None,
    html: Annotated[str | None, typer.Option(help="HTML beside the text; - reads standard input.")] = None,
    attach: Attachments = None,
    login: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="Submit through the MSA as this account; without it the MTA gets the message, as from another site.",
        ),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            help="The account's password. (default: the one that this folder's settings give it)", show_default=False
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Send a message into the testbed: straight to the MTA, or with --login through the MSA."""
    if letter is not None and (text is not None or html is not None or attach):
        fail(f"{letter} is sent as it is: give no --text, --html or --attach beside it", 2)
    if text == html == "-":
        fail("--text and --html can't both read standard input", 2)
    if password is not None and login is None:
        fail("--password is an account's: name it with --login", 2)
    with linked(url) as link:
        own = _address(link, login) if login is not None else None
        if letter is not None:
            envelope = _from_file(letter, sender or own, to)
        else:
            envelope = _made(sender or own or STRANGER, to, subject, text, html, attach or [])
        with _refusals_in_a_line(login):
            say(_hand_over(link, envelope, login, password))


@contextlib.contextmanager
def _refusals_in_a_line(login: str | None) -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        refused = (f"{address}: {_reply(code, words)}" for address, (code, words) in error.recipients.items())
        raise CommandError(f"every recipient was refused: {'; '.join(refused)}") from None
    except smtplib.SMTPSenderRefused as error:
        told = _reply(error.smtp_code, error.smtp_error)
        raise CommandError(f"the sender {error.sender} was refused: {told}") from None
    except smtplib.SMTPAuthenticationError as error:
        told = _reply(error.smtp_code, error.smtp_error)
        raise CommandError(f"the login {login} was refused: {told}; give another --password") from None
    except smtplib.SMTPResponseException as error:
        raise CommandError(f"the message was refused: {_reply(error.smtp_code, error.smtp_error)}") from None
    except (smtplib.SMTPException, ConnectionError, TimeoutError) as error:
        told = str(error) or type(error).__name__
        raise CommandError(f"the message wasn't taken: {told}; see: portyard export last") from None


def _hand_over(link: Link, envelope: Envelope, login: str | None, password: str | None) -> str:
    """Speak SMTP; the line that tells what became of it."""
    where = link.endpoint("mta", "smtp") if login is None else link.endpoint("msa", "submission")
    if login is not None:
        password = password if password is not None else password_of(link, login)
    with smtplib.SMTP(where.host, where.host_number, timeout=TIMEOUT_S) as client:
        client.ehlo_or_helo_if_needed()
        if login is not None:
            if client.has_extn("starttls"):
                client.starttls(context=ssl.create_default_context(cadata=link.control.raw("ca.pem").decode()))
            client.login(login, password or "")
        eight = ["BODY=8BITMIME"] if not envelope.octets.isascii() and client.has_extn("8bitmime") else []
        utf8 = [] if "".join([envelope.sender, *envelope.recipients]).isascii() else ["SMTPUTF8"]
        refused = client.sendmail(envelope.sender, envelope.recipients, envelope.octets, mail_options=[*eight, *utf8])
    taken = [address for address in envelope.recipients if address not in refused]
    if refused:
        told = "; ".join(f"{address}: {_reply(code, words)}" for address, (code, words) in refused.items())
        raise CommandError(f"sent to {', '.join(taken)}, but refused for {told}")
    return f"sent to {', '.join(taken)} by {where.service} at {authority(where.host, where.host_number)}, {len(envelope.octets)} octets"


def _address(link: Link, login: str) -> str:
    """The address of whom a login name means: itself, that behind a sandbox's name, or a local part's in the first domain."""
    bare = login.partition("/")[2] if "/" in login.partition("@")[0] else login
    if "@" in bare:
        return bare
    addresses = [account.address for account in link.settings.accounts]
    own = f"{bare}@{link.settings.domain}"
    return next((each for each in (own, *addresses) if each in addresses and each.partition("@")[0] == bare), own)


def password_of(link: Link, login: str) -> str:
    """The password that the settings give an account.

    Raises:
        CommandError: They give it none.
    """
    for account in link.settings.accounts:
        if login in (account.address, account.address.partition("@")[0]):
            return account.password
    raise CommandError(f"no password is known for {login}; give it with --password")


def _reply(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}"


def _made(
    sender: str, to: list[str] | None, subject: str, text: str | None, html: str | None, attach: list[Path]
) -> Envelope:
    recipients = to or ["alice@portyard.test"]
    message = EmailMessage(policy=email.policy.SMTP)
    try:
        message["From"], message["To"], message["Subject"] = sender, ", ".join(recipients), subject
    except ValueError as error:
        raise MistakeError(f"the header can't be written: {error}") from None
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = email.utils.make_msgid(domain="portyard.test")
    message.set_content(_given(text) if text is not None or html is None else "")
    if html is not None:
        message.add_alternative(_given(html), subtype="html")
    for path in attach:
        kind, _, subtype = (mimetypes.guess_type(path.name)[0] or "application/octet-stream").partition("/")
        message.add_attachment(path.read_bytes(), maintype=kind, subtype=subtype, filename=path.name)
    return Envelope(_bare(sender), [_bare(each) for each in recipients], message.as_bytes())


def _given(text: str | None) -> str:
    return sys.stdin.read() if text == "-" else text if text is not None else "Hello from portyard send.\n"


def _from_file(name: str, sender: str | None, to: list[str] | None) -> Envelope:
    """A message as it stands, its line ends made CRLF; the envelope is its header's where no other is given."""
    try:
        octets = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise MistakeError(f"{name}: {error.strerror}") from None
    message = email.message_from_bytes(octets)
    fields = [str(value) for key in ("To", "Cc", "Bcc") for value in message.get_all(key, [])]
    recipients = [_bare(each) for each in to] if to else [address for _, address in email.utils.getaddresses(fields)]
    if not [each for each in recipients if each]:
        raise MistakeError(f"{name} has no To, Cc or Bcc; give the recipient with --to")
    own = email.utils.parseaddr(str(message.get("From", "")))[1]
    return Envelope(_bare(sender or own or STRANGER), recipients, _ENDINGS.sub(b"\r\n", octets))


def _bare(address: str) -> str:
    return email.utils.parseaddr(address)[1] or address
