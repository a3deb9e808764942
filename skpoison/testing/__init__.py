"""Checks for attacks of your own."""

from ._check_attack import check_attack

__all__ = ["check_attack"]
