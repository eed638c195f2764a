"""Bundles on disk: write, read, verify, merge, remove. Importing this loads no torch; using a Bundle does."""

from okedit_cli.bundle.bundle import Bundle, read_manifest
from okedit_cli.bundle.fit import FitWarning, check_fit
from okedit_cli.bundle.given import bundles_of
from okedit_cli.bundle.manifest import BundleWarning, Manifest

__all__ = ["Bundle", "BundleWarning", "FitWarning", "Manifest", "bundles_of", "check_fit", "read_manifest"]
