"""The console: the control API of the testbed, and pages for people."""
