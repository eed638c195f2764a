"""A base model with bundles attached: hooks, changed weights, and what calls decide."""

from okedit_cli.session.model import Attachment, EditedModel, attach, session_of

__all__ = ["Attachment", "EditedModel", "attach", "session_of"]
