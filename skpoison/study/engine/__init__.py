"""The engine of studies: a plan says what to compute, and a runner has workers compute it."""

from ._keys import Keys
from ._memory import Store
from ._metadata import route
from ._plan import PlannedFit, RobustnessPlan, Victim
from ._runner import run_plan, run_tasks
from ._telling import telling_scorer
from ._unseeded import unseeded_in_attack, unseeded_in_study
from ._worker import AttackTask, FitTask, SharedSurrogateTask, StackTask, run_attack, take

__all__ = [
    "AttackTask",
    "FitTask",
    "Keys",
    "PlannedFit",
    "RobustnessPlan",
    "SharedSurrogateTask",
    "StackTask",
    "Store",
    "Victim",
    "route",
    "run_attack",
    "run_plan",
    "run_tasks",
    "take",
    "telling_scorer",
    "unseeded_in_attack",
    "unseeded_in_study",
]
