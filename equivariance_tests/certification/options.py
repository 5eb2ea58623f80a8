"""The arguments that say how a model is asked and how much is tried, by name.

One list for ``certify``, the pytest fixture, the assertions, and the attributes of a suite: what is
misspelled is refused wherever it stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches

from equivariance_tests.certification.certification import certify
from equivariance_tests.model.subject import Subject

# How the model is asked
OF_SUBJECTS = tuple(inspect.signature(Subject.of).parameters)[2:]
# And what is tried
OF_CERTIFICATIONS = tuple(inspect.signature(certify).parameters)[2:]
# In a suite each check is a test, and pytest says how far it is
OF_SUITES = tuple(name for name in OF_CERTIFICATIONS if name not in ("checks", "progress"))


def refuse_unknown(given: Iterable[str], known: Iterable[str], of: str, way_out: str = "") -> None:
    """Refuse names that are none of the known ones.

    Args:
        given: names.
        known: those that there are.
        of: what has them, in the plural: "options of certify".
        way_out: what to do if it was no mistake.

    Raises:
        TypeError: if one is not known; says which one may be meant.

    >>> refuse_unknown(["specis"], ["species", "call"], "options of certify")
    Traceback (most recent call last):
        ...
    TypeError: 'specis' is none of the options of certify (species, call): is 'species' meant?
    """
    known = tuple(known)
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f": is {close[0]!r} meant?" if close else ""
            raise TypeError(f"{name!r} is none of the {of} ({', '.join(known)}){meant}{way_out}")
