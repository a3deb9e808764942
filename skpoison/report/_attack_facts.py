"""What a report says of an attack besides its scores."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class AttackFacts:
    """The words for an attack.

    Parameters
    ----------
    phrase : str
        A strength in words: "{} of the labels flipped at random".
    axis : str
        What its strength is: "labels flipped at random".
    is_share : bool
        Whether a strength is a share, which is printed in per cent.
    strengths : list of float
        The strengths tried, ascending, from 0, which is clean training.
    tags : dict of str to str
        The threat model, as `BaseAttack.tags`.
    made_by : str
        The attack as code.
    control : str or None
        The name of the attack to compare it with.
    note : str
        What a reader must know besides; "" if there is nothing.
    has_success : bool
        Whether the attack wants more than a lower accuracy, and has a success rate.
    """

    phrase: str
    axis: str
    is_share: bool
    strengths: list[float]
    tags: dict[str, str] = field(default_factory=dict)
    made_by: str = ""
    control: str | None = None
    note: str = ""
    has_success: bool = False

    def with_strengths(self, strengths):
        """The same words with other strengths."""
        return replace(self, strengths=list(strengths))

    def value(self, strength):
        """A strength as a number for people to read."""
        return f"{100 * strength:.3g}%" if self.is_share else f"{strength:.3g}"

    def at(self, strength):
        """A strength in words."""
        return self.in_words(self.value(strength))

    def in_words(self, value):
        """The words for a strength that is a text already."""
        return self.phrase.replace("{}", value, 1)
