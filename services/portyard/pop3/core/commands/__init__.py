"""The answers, one file per state."""
