"""Price sources.

Law: a source returns its newest quotes without waiting, each with the time of its price; `domain` decides whether a
quote is too old.
"""
