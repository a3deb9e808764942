"""Reports of robustness: how much poison a classifier takes, in sentences, tables and pictures."""

from ._command import run_command
from ._result import RobustnessReport
from ._robustness_report import robustness_report

__all__ = ["RobustnessReport", "robustness_report", "run_command"]
