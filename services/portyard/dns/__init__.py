"""The DNS room: authoritative for the testbed's zones, over UDP and TCP."""
