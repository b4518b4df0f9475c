"""Faults that know only bytes, one small file each, and the relay that commits them on an accepted connection."""
