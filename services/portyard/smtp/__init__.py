"""The mail chain's three rooms in one: submission agent, transfer agent and delivery agent (RFC 5321, RFC 6409, RFC 2033)."""
