"""Chaos: the real command killed and its storage failing, again and again, and the rows counted."""
