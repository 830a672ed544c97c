"""``report.html``: one self-contained page about a run, made from its OUTPUT alone."""

from pipelines.report.page import Report, standing_report, write_report

__all__ = ["Report", "standing_report", "write_report"]
