"""The console room: what the testbed shows of itself and how it is steered."""
