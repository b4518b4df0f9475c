"""Leases: listeners of a sandbox's own, for what happens before any protocol has named one."""
