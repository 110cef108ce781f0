"""Reports: one self-contained HTML file for a run, a comparison or an experiment."""

from collabdm.report.experiment import experiment_report
from collabdm.report.folder import run_report

__all__ = ["experiment_report", "run_report"]
