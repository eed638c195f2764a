"""okedit-pictures: a data set of edits on real pictures, made out of packages that package managers carry."""

from __future__ import annotations

NAME = "okedit-pictures"
VERSION = "2"
