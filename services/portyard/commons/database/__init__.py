"""Portable SQL: reads in place, writes through one group-commit thread per process and file."""
