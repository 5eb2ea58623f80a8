"""What was found: failures, findings, and both as text, JSON and a figure."""

from equivariance_tests.report.failures import Failure
from equivariance_tests.report.finding import Finding
from equivariance_tests.report.report import Report

__all__ = ["Failure", "Finding", "Report"]
