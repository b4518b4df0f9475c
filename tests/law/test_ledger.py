"""The ledger says what we speak; what a room announces stands in it, and what stands in it as announced the room announces."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from portyard.rooms import cards

LEDGER = Path(__file__).parents[2] / "docs" / "rfc" / "ledger.tsv"


def rows() -> list[dict[str, str]]:
    with LEDGER.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_row_is_whole() -> None:
    for row in rows():
        assert row["rfc"].isdigit()
        assert row["what"]
        assert row["served"] in ("yes", "no", "refused")
        assert not row["announced"] or row["served"] == "yes"


@pytest.mark.parametrize("card", [card for card in cards() if card.capabilities], ids=lambda card: card.name)
def test_announced_is_served(card: object) -> None:
    name, capabilities = card.name, set(card.capabilities)  # type: ignore[attr-defined]
    assert {row["announced"] for row in rows() if row["room"] == name and row["announced"]} == capabilities
