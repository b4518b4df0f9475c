"""Faults that know meaning: rules as data, the gate that every event passes, and the store that all processes share."""
