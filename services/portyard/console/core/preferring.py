"""Which of two forms of an answer a client would rather have: a page for people, or JSON."""

from __future__ import annotations

import re

# Accept = #( media-range [ weight ] ); weight = OWS ";" OWS "q=" qvalue                                RFC 9110 §12.5.1
_RANGE = re.compile(r"([^\s;,]+)[^,]*?(?:;\s*[qQ]=([01](?:\.[0-9]{0,3})?)\s*)?(?:,|$)")
_JSON = ("application/problem+json", "application/json")


def wants_page(accept: str) -> bool:
    """Whether an Accept field asks for HTML by its name, as browsers do, and for no JSON rather."""
    weights = {kind.lower(): float(weight or 1) for kind, weight in _RANGE.findall(accept)}
    return weights.get("text/html", 0.0) > max(weights.get(kind, 0.0) for kind in _JSON)
