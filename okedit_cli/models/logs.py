"""What transformers says on stderr, silenced while it would be in a command's way."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def quiet():
    """Without transformers' progress bars and advice: stderr belongs to the command, errors still come
    through.
    """
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
