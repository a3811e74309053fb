"""The servers of the quick start and of the tests: a real PostgreSQL and a real Valkey, from wheels.

Nothing here runs in production, where DATABASE_URL and REDIS_URL name servers that somebody operates.
"""
