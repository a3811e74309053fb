"""PostgreSQL as Django knows it, but that nobody waits for ever for a server that says nothing."""
