"""May we believe the reasons? The rules, each with its figure, and one sentence.

Unusual: a model that only guesses fails, however faithful the reasons for its guesses are. Reasons of an untrained
model pass every other check, because they truly are what moved it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from nbpipe.config import Explain
from nbpipe.explain.attribute import Attributions
from nbpipe.explain.bags import GAP
from nbpipe.explain.faithfulness import Control, Interval, interval
from nbpipe.shown import Sentence, Shown, Table

DOCUMENTS = 10  # fewer say little, whatever their figures


class Rule(NamedTuple):
    """One condition of belief: what it says, what was measured, what was needed, and what it means when it fails."""

    name: str
    measured: str
    needed: str
    holds: bool
    failure: str


@dataclass(frozen=True, eq=False, repr=False)
class Judgement(Shown):
    """The rules of belief with their figures.

    summary: what to say when all of them hold; warning: what else to know before believing, a sentence.
    """

    rules: Sequence[Rule]
    summary: str
    warning: str = ""

    @property
    def verdict(self) -> Sentence:
        """One sentence: may we believe the reasons?"""
        failures = "; ".join(rule.failure for rule in self.rules if not rule.holds)
        answer = f"No: {failures}." if failures else f"Yes: {self.summary}."
        return Sentence(f"{answer} {self.warning}".strip())

    def shown(self) -> list[Table | Sentence]:
        """Each rule with what was measured and what was needed."""
        rows = [(rule.name, rule.measured, rule.needed, rule.holds) for rule in self.rules]
        return [Table(["rule", "measured, with 95% intervals", "needed", "holds"], rows)]


def judge(config: Explain, right: np.ndarray, guess: float, found: Attributions, checked: Control) -> Judgement:
    """Apply the rules of belief, two of whose limits the config gives.

    right: bool [N], whether each explained document was classified right; guess: from 0 to 1, the share of the most
    frequent label, which needs no knowledge.
    """
    random, shuffled, alike = checked.deletion.gain, checked.gain, interval(checked.alike)
    limit = config.most_alike
    many = len(checked.deletion.top)
    rules = [
        Rule(
            "enough documents were checked",
            f"{many:,}",
            f"at least {DOCUMENTS}",
            many >= DOCUMENTS,
            f"too few documents could be checked ({many:,} of at least {DOCUMENTS})",
        ),
        _knows(right, guess),
        *_adding_up(found),
        _fall("random words", random, config.least_fall),
        _fall("the strongest words of shuffled models", shuffled, config.least_fall),
        Rule(
            "shuffled models give other reasons",
            f"rank correlation {_shown(alike)}",
            f"between -{limit} and {limit}",
            alike.low > -limit and alike.high < limit,
            f"models with shuffled weights are not shown to give other reasons (rank correlation {_shown(alike)})",
        ),
    ]
    top, drawn = (values.mean() if len(values) else 0 for values in (checked.deletion.top, checked.deletion.random))
    many = checked.deletion.words
    summary = (
        f"without its {many} strongest word{'' if many == 1 else 's'}, of short documents half of all, a document's "
        f"predicted class loses {top:.3f} of probability, without as many random ones {drawn:.3f}; and models with "
        "shuffled weights give other reasons"
    )
    return Judgement(rules, summary)


def _knows(right: np.ndarray, guess: float) -> Rule:
    many = len(right)
    low = binomtest(int(right.sum()), many).proportion_ci(method="wilson").low if many else 0.0
    share = float(right.mean()) if many else 0.0
    return Rule(
        "the model knows more than a guess",
        f"{share:.3f} right, at least {low:.3f}",
        f"above {guess:.3f}, the share of the most frequent label",
        bool(low > guess),
        f"the model is not shown to know more than a guess ({share:.3f} right, at least {low:.3f}, guess {guess:.3f})",
    )


def _adding_up(found: Attributions) -> list[Rule]:
    """Return the rule that integrated gradients must sum to the score; occlusion promises no such thing."""
    if found.method != "integrated_gradients":
        return []
    gap = float(found.gaps.max(initial=0))
    name, failure = "attributions add up to the score", f"attributions miss the score by up to {gap:.2%}"
    return [Rule(name, f"largest gap {gap:.2%}", f"at most {GAP:.0%}", gap <= GAP, failure)]


def _fall(other: str, gain: Interval, least: float) -> Rule:
    return Rule(
        f"the strongest words matter more than {other}",
        f"probability falls {_shown(gain)} further",
        f"all of the interval above {least}",
        gain.low > least,
        f"the strongest words are not shown to matter more than {other} (probability falls {_shown(gain)} further)",
    )


def _shown(value: Interval) -> str:
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"
