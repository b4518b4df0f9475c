"""What a command is in the words of rules: apart from their table, which a card needs before there is any command."""

from __future__ import annotations

from portyard.commons.scenario.vocabulary import Scalar
from portyard.pop3.core.model import Apop, Auth, Command, Dele, List, Retr, Top, Uidl, User


def verb_of(command: Command) -> str:
    """The command's verb."""
    return type(command).__name__.lower()


def fields_of(command: Command) -> dict[str, Scalar]:
    """The command's fields."""
    match command:
        case User(name) | Apop(name, _):
            return {"login": name}
        case Auth(mechanism, _):
            return {"mechanism": mechanism or "", "login": ""}
        case List(message) | Uidl(message):
            return {"message": message or 0}
        case Retr(number) | Dele(number):
            return {"message": number}
        case Top(number, _):
            return {"message": number}
    return {}
