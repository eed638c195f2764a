"""The public place of `load_picture`, which the README and the cards of exported bundles name."""

from okedit_cli.facts.pictures import load_picture

__all__ = ["load_picture"]
