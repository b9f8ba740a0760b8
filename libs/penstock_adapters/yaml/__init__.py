"""Documents written in YAML 1.2 or JSON, read with the place of everything in them."""

from penstock_adapters.yaml.document import Document, DocumentError
from penstock_adapters.yaml.reader import read_document, read_documents
from penstock_adapters.yaml.report import render_problems

__all__ = ["Document", "DocumentError", "read_document", "read_documents", "render_problems"]
