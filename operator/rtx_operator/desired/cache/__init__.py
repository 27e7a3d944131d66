"""The cache: Redis."""
