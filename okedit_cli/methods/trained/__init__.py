"""Trained editors: networks that learn from example edits how a model is to be edited.

A method is a file: how its network looks, a step of its training, and how facts are edited with it. What they
share: example edits (cases.py), the upper layers of a model by themselves (upper.py), rows and losses of
editors of weights (editing.py), the loop of training (loop.py, making.py), and the file of a trained editor
(files.py). Those for okedit-mini are in editors/; `okedit train` trains others.
"""
