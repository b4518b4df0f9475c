"""The blocks of a document, by section."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def unhurried(code: str) -> str:
    """The same with a minute for what is to come within some seconds: a machine may be busy."""
    code = re.sub(r"timeout=[1-9]\d*\b(?!\.)", "timeout=60", code)
    return re.sub(r"\.wait\(((?:(?!timeout)[^()\n])*)\)", r".wait(\1, timeout=60)", code)


def blocks(document: Path, language: str) -> dict[str, str]:
    """A language's blocks, those of a section put together, by the section's title; sections without any are left out."""
    parts = _SECTION.split(document.read_text())
    found = {}
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        inside = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if inside:
            found[title] = "\n\n".join(inside)
    return found
