"""One case of an evaluation: an edit and every question that judges it. Pictures are paths until needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from okedit_cli.facts import Fact, Question


@dataclass(frozen=True)
class Metric:
    """A family of questions. Positive: the new answer is wanted; else the unedited model's own answer is."""

    name: str
    label: str
    positive: bool
    words: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("rel", "Rel", True, "the edit itself"),
        Metric("t_gen", "T-Gen", True, "rephrased questions"),
        Metric("i_gen", "I-Gen", True, "other pictures of the same thing"),
        Metric("port", "Port", True, "what follows from the edit, by hops"),
        Metric("holdout", "Holdout", True, "questions that a fact file holds out"),
        Metric("seen", "Seen", True, "rephrasings and views that the edit was fitted to"),
        Metric("t_loc", "T-Loc", False, "other questions without a picture"),
        Metric("i_loc", "I-Loc", False, "other pictures"),
        Metric("specificity", "Specificity", False, "the same thing, asked something else"),
        Metric("near", "Near", False, "near negatives, cell by cell"),
        Metric("kept", "Kept", False, "questions that the edit was fitted to leave alone"),
    )
}


@dataclass(frozen=True)
class Probe:
    """One question. `answers`: any is right; for a negative what the data set holds true, may be empty."""

    prompt: str
    picture: Path | None = None
    answers: tuple[str, ...] = ()
    cell: str = ""  # the part of its metric: "2-hop", "other/edit", "text"


@dataclass(frozen=True)
class Train:
    """What a method may fit the edit to; `pictures` are given to the edit beside its own. Nothing else of a
    case is ever shown to it.
    """

    rephrasings: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    keep: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Case:
    id: str
    prompt: str
    target: str
    picture: Path | None = None
    accepted: tuple[str, ...] = ()  # further answers that are as right as the target
    before: str = ""  # what was true, or what the data set's own model said, before the edit
    truth: tuple[str, ...] = ()  # every accepted way to say what the pictures show, where the data set tells
    subject: str = ""
    rephrasings: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    picture_cells: tuple[str, ...] = ()  # along with pictures: "view", "artist", ..; () where nothing is told
    text_locality: tuple[Probe, ...] = ()
    picture_locality: tuple[Probe, ...] = ()
    specificity: tuple[Probe, ...] = ()
    portability: tuple[Probe, ...] = ()
    near: tuple[Probe, ...] = ()
    holdout: tuple[Probe, ...] = ()
    supporting: tuple[Probe, ...] = ()  # facts that portability rests on, to be edited as well if asked for
    train: Train = field(default_factory=Train)
    kind: str = ""  # the part of the data set that is reported apart as well
    verbatim: bool | None = None  # whether the answer is to be held word for word; None: by the answer
    reach: str = ""  # how far the edit is meant: "kind", "picture"; "" where the data set does not tell
    row: int = 0  # counted from 1; the line, for a fact file

    def probes(self) -> Iterator[tuple[str, str, Probe]]:
        """Every question as (key unique in the case, metric, probe), in a fixed order."""
        target = (self.target, *self.accepted)
        families = {
            "rel": (Probe(self.prompt, self.picture, target),),
            "t_gen": tuple(Probe(text, self.picture, target) for text in self.rephrasings),
            "i_gen": tuple(
                Probe(self.prompt, picture, target, cell)
                for picture, cell in zip(
                    self.pictures, self.picture_cells or ("",) * len(self.pictures), strict=True
                )
            ),
            "port": self.portability,
            "holdout": self.holdout,
            "seen": (
                *(Probe(text, self.picture, target, "text") for text in self.train.rephrasings),
                *(Probe(self.prompt, picture, target, "picture") for picture in self.train.pictures),
            ),
            "t_loc": self.text_locality,
            "i_loc": self.picture_locality,
            "specificity": self.specificity,
            "near": self.near,
            "kept": self.train.keep,
        }
        for metric, probes in families.items():
            for number, probe in enumerate(probes):
                yield f"{metric}:{number}", metric, probe

    def all_pictures(self) -> tuple[Path, ...]:
        """Every picture that the case needs, each once, the edit's own first."""
        probes = (probe.picture for _, _, probe in self.probes())
        return tuple(dict.fromkeys(picture for picture in (self.picture, *probes) if picture is not None))

    def fact(self) -> Fact:
        """The case as a method gets it: the edit and what may be fitted, nothing that is evaluated."""
        keep = tuple(Question(probe.prompt, probe.picture) for probe in self.train.keep)
        return Fact(
            id=self.id,
            prompt=self.prompt,
            answer=self.target,
            accepted=self.accepted,
            image=self.picture,
            rephrases=self.train.rephrasings,
            images=self.train.pictures,
            keep=keep,
            reach=self.reach or "auto",
            verbatim=self.verbatim,
            line=self.row,
        )


@dataclass(frozen=True)
class DataSet:
    """Cases of one file. `left_out`: (row, why) of every row that is not among them. `pictures`: a
    checksum of the pictures that are looked at; "" where they have not been read.
    """

    path: Path
    format: str
    cases: tuple[Case, ...]
    sha256: str
    left_out: tuple[tuple[int, str], ...] = ()
    pictures: str = ""
