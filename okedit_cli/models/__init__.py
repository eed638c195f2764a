"""All that knows transformers. Nothing is imported here: `okedit_cli` and the command line stay light."""
