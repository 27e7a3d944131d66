"""What may break while a version becomes the next one, and the outcome that docs/faults.md defines for it.

A frozen holder of the fence; the API server, PostgreSQL or Redis away; an image that is missing, crashes or never gets
ready; a migration that fails or waits; another wish, size or leader in the middle; the engine deleted; an engine pod
deleted or killed without a cutover. The last tests take the fence and the forwarding away and show what they prevent.
"""
