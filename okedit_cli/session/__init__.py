"""A base model with bundles attached: hooks, changed weights, and what calls decide."""

from okedit_cli.session.edited import EditedModel
from okedit_cli.session.model import Attachment, Session, attach, session_of

__all__ = ["Attachment", "EditedModel", "Session", "attach", "session_of"]
