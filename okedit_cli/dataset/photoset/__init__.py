"""okedit-photographs: a data set of edits on photographs of things, made out of a folder of them."""

from __future__ import annotations

NAME = "okedit-photographs"
VERSION = "1"
SPLITS = ("calibrate", "report")
