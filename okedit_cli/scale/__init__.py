"""Facts and cases on many machines: what Ray shares out, and what of it is done.

Not here: shards without Ray, which `fit` and `evaluate` take themselves.
"""
