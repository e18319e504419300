"""What a check of labels finds, counted by kind."""

from dataclasses import dataclass, field
from typing import Any

#: How many places of each kind are named.
PLACES = 3
#: How many kinds of faults the line holds that ends a run.
KINDS = 4

STOP, FIXED, NOTE = 'stop', 'fixed', 'note'


class LabelError(ValueError):
    """Labels that a run must not use; the message is one line."""


@dataclass
class Finding:
    """One kind of thing that was found.

    Args:
        level: STOP if a run must not go on with it, FIXED if a repaired copy is without it, NOTE if it is allowed.
        text: what it is, and the way out.
        count: how often; 0 for what is about the whole file.
        places: the first few.
    """

    level: str
    text: str
    count: int = 0
    places: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.count:
            return self.text
        kind, colon, way_out = self.text.partition(' -> ')
        more = ', ...' if self.count > len(self.places) else ''
        places = f' ({", ".join(self.places)}{more})' if self.places else ''
        return f'{kind}: {self.count}{places}' + (f'; {way_out}' if colon else '')


class Findings:
    """Findings by kind, in the order in which they came."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, level: str, text: str, place: str | None = None) -> None:
        """Count one more of a kind; `text` may hold the way out behind an arrow, `` -> ``."""
        found = self._found.setdefault((level, text), Finding(level, text))
        if place is not None:
            found.count += 1
            if len(found.places) < PLACES:
                found.places.append(place)

    def of(self, level: str) -> list[Finding]:
        """Return what was found of a level."""
        return [found for found in self._found.values() if found.level == level]


@dataclass
class Labels:
    """A COCO-format file while it is looked at.

    Args:
        path: the file.
        content: of the file; it is changed in place where something is fixed.
        findings: so far.
        images: by id, those that can be looked at further.
        objects: annotations that can be looked at further: those without a fault after all checks.
        lost: ids of images without a file.
        mismatch: whether the categories are not the classes of the config.
    """

    path: str
    content: dict[str, Any]
    findings: Findings = field(default_factory=Findings)
    images: dict[int, dict] = field(default_factory=dict)
    objects: list[dict] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    mismatch: bool = False

    @property
    def changed(self) -> bool:
        """Whether the content is no longer the file's."""
        return bool(self.findings.of(FIXED))

    @property
    def complaint(self) -> str | None:
        """What a run must not go on with, in one line; None if there is nothing."""
        stops = self.findings.of(STOP)
        more = f'; and {len(stops) - KINDS} more kinds' if len(stops) > KINDS else ''
        return f'"{self.path}": {"; ".join(map(str, stops[:KINDS]))}{more}' if stops else None

    def lines(self) -> list[str]:
        """All findings, one line for each kind, those that stop a run first."""
        return [f'{level}: {found}' for level in (STOP, FIXED, NOTE) for found in self.findings.of(level)]

    def stop(self, text: str, place: str | None = None) -> None:
        """Count what a run cannot go on with."""
        self.findings.add(STOP, text, place)

    def fixed(self, text: str, place: str | None = None) -> None:
        """Count what was fixed."""
        self.findings.add(FIXED, text, place)

    def note(self, text: str, place: str | None = None) -> None:
        """Count what is allowed, and good to know."""
        self.findings.add(NOTE, text, place)

    def where(self, found: dict) -> str:
        """Name an annotation and its image."""
        image = self.images.get(found.get('image_id'), {})  # type: ignore[arg-type]  # None is in no dict of images
        return f'annotation {found.get("id")} on "{image.get("file_name")}"'
