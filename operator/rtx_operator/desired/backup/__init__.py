"""Backups: pgBackRest's configuration, its certificates and repository, and the Jobs that make a backup."""
