"""Export of finished runs to formats that other programs read."""

from rsmeta.export.formats import ExportFormat, export_run

__all__ = ["ExportFormat", "export_run"]
