"""Checks for attacks that others write."""

from ._check_attack import check_attack

__all__ = ["check_attack"]
