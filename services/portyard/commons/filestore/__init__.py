"""The files that several protocols share: one root per account."""
