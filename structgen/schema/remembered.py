"""`uniqueItems` where items have many values: the matcher remembers those that are there (`structgen.masks.distinct`).

It looks for dead ends within an item only. So here is what makes sure that there are no others: whatever stands in an
array, an item that must still come can be chosen to differ from all of it. Position i has i items before it, so it is
enough that more than i values may stand there; and of values that `contains` counts, each that is there has counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from structgen.schema.distinct import MAX_VALUES, finite_values
from structgen.schema.forms import ArrayForm, Term, both
from structgen.schema.open_keys import is_thin

if TYPE_CHECKING:
    from structgen.schema.expand import Expander


class Remembered:
    """One array form with `uniqueItems` whose items have more values than an automaton can hold."""

    def __init__(self, form: ArrayForm, expander: Expander) -> None:
        self.form = form
        self.expander = expander

    def reason(self) -> str | None:
        """Why it cannot be enforced exactly; None if it can."""
        form = self.form
        if form.min > MAX_VALUES:
            return f"more than {MAX_VALUES} items that must differ"
        if len(form.contains) > 1:
            return "items that must differ, beside more than one `contains`"
        last = len(form.prefix) if form.max is None else min(form.max - 1, len(form.prefix))
        for index in range(last + 1):
            term = form.item(index)
            before = form.min - 1 if index == len(form.prefix) else index  # items that may stand before one that must
            if index < form.min and self._count(term) <= before:
                return f"the item at index {index} has few values, which others may take before it"
            for rule in form.contains:
                if index < rule.start and index < len(form.prefix):
                    continue
                counted = self._count(both(term, rule.term))
                if 0 < counted < rule.min:
                    return f"`contains` asks for {rule.min} items that must differ and has {counted} values for them"
                if rule.max is not None:
                    others = self._count(both(term, self.expander.schemas.negate(rule.term)))
                    if index < form.min and min(others, counted) <= max(before, rule.max):
                        return "items that must differ and are few, beside `maxContains`"
        return None

    def thin(self) -> bool:
        """Whether a beginning of an item may go on in finitely many ways only; yes where that does not tell."""
        form = self.form
        if form.contains:
            return True
        last = len(form.prefix) if form.max is None else min(form.max - 1, len(form.prefix))
        return any(self._thin(form.item(index)) for index in range(last + 1))

    def fewest(self) -> int:
        """A number of values that each item has to choose from at the least."""
        last = len(self.form.prefix) if self.form.max is None else min(self.form.max - 1, len(self.form.prefix))
        return 0 if self.form.contains else min(self._count(self.form.item(index)) for index in range(last + 1))

    def _thin(self, term: Term) -> bool:
        shape = self.expander.shape(term)
        if shape.null or shape.booleans or shape.numbers or shape.arrays or shape.objects:
            return True
        return any(form.values is not None or is_thin(form.language) for form in shape.strings)

    def _count(self, term: Term) -> int:
        """How many values are in a term, all that are more than `MAX_VALUES` being one more."""
        values = finite_values(term, self.expander)
        return MAX_VALUES + 1 if values is None else len(values)
