"""A command as rules see it: its verb and its fields."""

from __future__ import annotations

from portyard.commons.scenario.vocabulary import Scalar
from portyard.smtp.core import model
from portyard.smtp.core.grammar import print_mailbox, print_parameters
from portyard.smtp.core.hop import KEYWORD
from portyard.smtp.core.model import Command, Transaction


def verb_of(command: Command) -> str:
    """The command's verb."""
    return type(command).__name__.lower()


def fields_of(command: Command, transaction: Transaction | None) -> dict[str, Scalar]:
    """The command's fields."""
    match command:  # first what every message has
        case model.Rcpt():
            return recipient_of(command, transaction)
        case model.Data():
            return {**sender_of(transaction), "recipients": len(transaction.recipients) if transaction else 0}
        case model.Mail(path, ()):
            return {"sender": print_mailbox(path), "size": 0, "parameters": ""}
        case model.Mail(path, parameters):
            public = tuple(parameter for parameter in parameters if parameter.keyword != KEYWORD)
            size = next((p.value for p in public if p.keyword == "SIZE" and p.value and p.value.isdecimal()), "0")
            return {
                "sender": print_mailbox(path),
                "size": int(size[:20]),
                "parameters": print_parameters(public).lstrip(),
            }
        case model.Ehlo(domain) | model.Helo(domain) | model.Lhlo(domain):
            return {"hello": domain}
        case model.Vrfy(string) | model.Expn(string):
            return {"string": string}
    return {}


def recipient_of(command: model.Rcpt, transaction: Transaction | None) -> dict[str, Scalar]:
    """RCPT's fields."""
    sender = print_mailbox(transaction.reverse_path) if transaction else ""
    return {"sender": sender, "recipient": print_mailbox(command.forward_path)}


def sender_of(transaction: Transaction | None) -> dict[str, Scalar]:
    """The field that every step of a transaction has."""
    return {"sender": print_mailbox(transaction.reverse_path) if transaction else ""}
