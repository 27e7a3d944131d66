"""Where prices come from.

Law: a source answers at once from what it has and dates each quote by when its price was made; `domain` judges whether
that is too old.
"""
