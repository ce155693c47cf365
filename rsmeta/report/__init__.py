"""Report: the figures of a run and one HTML page that shows them with its numbers."""

from rsmeta.report.run_report import write_report

__all__ = ["write_report"]
