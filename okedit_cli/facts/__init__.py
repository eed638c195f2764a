"""Facts: what they are (schema.py), fact files (reader.py, writer.py) and the pictures that they name."""

from okedit_cli.facts.ids import valid_id
from okedit_cli.facts.reader import load_facts
from okedit_cli.facts.schema import REACHES, Fact, FactFile, Question
from okedit_cli.facts.writer import dump_facts, facts_text

__all__ = [
    "REACHES", "Fact", "FactFile", "Question", "dump_facts", "facts_text", "load_facts", "valid_id",
]  # fmt: skip
