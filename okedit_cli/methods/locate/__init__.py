"""Locate-then-edit: MEMIT, AlphaEdit and CoME, which write facts into the feed-forward parts of a few layers.

What they share: where a fact is looked up and how a layer reads it there (lookup.py), the vector that makes
the model say the new answer (target.py), what must be preserved (moments.py), and the small linear solves
(solve.py). Each method is a few lines on top of them (methods.py).
"""
