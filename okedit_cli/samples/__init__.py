"""Samples of a fact: the user's own, other wordings, views of its pictures, and near negatives (sampler.py).

Not here: the pictures and questions that negatives are taken from (bank/).
"""
