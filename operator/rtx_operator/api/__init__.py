"""The users' contract: the TradingEngine's spec and status, the names of everything made for it, and its CRD.

Law: no external calls, no I/O. A field stands here together with the code that acts on it, never before; a word that
users can read (a phase, a reason, a label) is an enum member here, and a literal nowhere.
"""
