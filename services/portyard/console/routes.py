"""The table of the control API: every operation with its path, from which the description is made, too."""

from __future__ import annotations

from portyard.console import files, journal, leases, mail, rules, sandboxes, testbed, zones
from portyard.console.calls import Route

ROUTES: tuple[Route, ...] = (
    *testbed.ROUTES,
    *sandboxes.ROUTES,
    *leases.ROUTES,
    *mail.ROUTES,
    *rules.ROUTES,
    *zones.ROUTES,
    *files.ROUTES,
    *journal.ROUTES,
)
