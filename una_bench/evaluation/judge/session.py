"""Judging of one checkpoint: its answers, the verdicts on them, and the files that are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from una_bench.evaluation.judge import answers, comparison, exports, figures, judge_prompt, measurements, questions
from una_bench.evaluation.judge.answers import Answer
from una_bench.evaluation.judge.comparison import Compared
from una_bench.evaluation.judge.judge_prompt import JudgePrompt, Kind
from una_bench.evaluation.judge.judges import Judges
from una_bench.evaluation.judge.measurements import Context
from una_bench.evaluation.judge.policies import Generate, Policies, baseline_of
from una_bench.evaluation.judge.questions import Question
from una_bench.evaluation.judge.requests import Asked, Judge, Verdict
from una_bench.record import storage

if TYPE_CHECKING:
    from una_bench.interfaces.benchmark import Checkpoint
    from una_bench.record.schema import Measurement

UNTRAINED, REFERENCE = "base", "reference"
"""Baselines that are there before any training."""


@dataclass(slots=True, kw_only=True)
class Session:
    """The verdicts on one checkpoint."""

    settings: Mapping[str, Any]
    checkpoint: Checkpoint
    asked: Sequence[Question]
    judges: Judges
    policies: Policies
    generate: Generate
    _usage: dict[str, float] = field(
        default_factory=lambda: {"requests": 0, "kept": 0, "tokens_in": 0, "tokens_out": 0}
    )
    _lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def set_name(self) -> str:
        """Name of the prompts in metrics."""
        return questions.set_name(self.settings["prompts"])

    def measure(self) -> list[Measurement]:
        """Return all measurements, and write the files."""
        began = time.perf_counter()
        ours = self.policies.answers(self.checkpoint, self.asked, self.generate)
        folder = self.checkpoint.out / "judge"
        answers.save(folder / "answers.jsonl", self.asked, ours)
        exported = {self._own_name: ours}
        self._lines = [
            {
                "doc_id": one.id,
                "category": one.category,
                "arguments": "\n\n".join(one.turns),
                "resps": comparison.transcript(one, a),
            }
            for one, a in zip(self.asked, ours, strict=True)
        ]
        measured: list[Measurement] = []
        if Kind.PAIRWISE in self._kinds:
            theirs = self._baseline_answers()
            if theirs is None:
                how = f"not run: there is no checkpoint of {self.settings['baseline']} with seed {self.checkpoint.seed}"
                measured.append(self._context(self._first, Kind.PAIRWISE).measured("win_rate", None, how))
            else:
                exported |= {f"baseline-{self.settings['baseline']}": theirs}
                measured += self._pairwise(ours, theirs)
        if Kind.GRADE in self._kinds:
            measured += self._grades(ours)
        if self.checkpoint.path == self.checkpoint.prepared.policy:
            measured += self._known_pairs()
        exports.write(folder, self.asked, exported)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._lines)
        storage.write_text(folder / f"judge.{self.set_name}.samples.jsonl", text)
        self._usage["seconds"] = time.perf_counter() - began
        return measured

    def facts(self) -> dict[str, Any]:
        """Return who judged what and how, for the record and the ledger."""
        judges = [one for one in (self._first, self.judges.second) if one is not None]
        return {
            "judges": [one.name for one in judges],
            "prompts_of_judge": {kind: self._prompt(kind).described for kind in self._kinds},
            "baseline": self.settings["baseline"],
            "prompts": f"{len(self.asked)} of {self.set_name} (hash {questions.digest(self.asked)})",
            "sampling": self.policies.sampling,
            "repeats": self.settings["repeats"],
        }

    def usage(self) -> dict[str, float]:
        """Return what the verdicts took: requests sent, verdicts kept from before, tokens, seconds."""
        return dict(self._usage)

    @property
    def _first(self) -> Judge:
        assert self.judges.first is not None
        return self.judges.first

    @property
    def _own_name(self) -> str:
        return self.checkpoint.out.name.rpartition("-")[0] or self.checkpoint.out.name

    @property
    def _kinds(self) -> tuple[Kind, ...]:
        return judge_prompt.asked(self.settings["kinds"])

    def _prompt(self, kind: Kind) -> JudgePrompt:
        return judge_prompt.load(self.settings[f"{kind}_prompt"], kind)

    def _context(self, judge: Judge, kind: Kind, against: str = "") -> Context:
        described = judge.name if not judge.identity() else f"{judge.name}, prompt {self._prompt(kind).described}"
        second = judge is self.judges.second
        return Context(prompts=self.set_name, judge=described, against=against, second=second)

    def _baseline_answers(self) -> list[Answer] | None:
        baseline = self.settings["baseline"]
        if baseline == REFERENCE:
            return [answers.given(*one.reference) for one in self.asked]
        untrained = replace(self.checkpoint, path=self.checkpoint.prepared.policy)
        other = untrained if baseline == UNTRAINED else baseline_of(self.checkpoint, baseline)
        return None if other is None else self.policies.answers(other, self.asked, self.generate)

    def _count(self, asked: Asked) -> None:
        self._usage["requests"] += asked.sent
        self._usage["kept"] += len(asked.verdicts) - asked.missing - asked.sent
        self._usage["tokens_in"] += asked.tokens_in
        self._usage["tokens_out"] += asked.tokens_out

    def _pairwise(self, ours: Sequence[Answer], theirs: Sequence[Answer]) -> list[Measurement]:
        against, sides = f"the answers of {self.settings['baseline']}", (ours, theirs)
        first, measured = self._compare(self._first, self.asked, sides, against)
        for line, one, other, theirs_one in zip(self._lines, self.asked, first, theirs, strict=True):
            line |= {"baseline": comparison.transcript(one, theirs_one), "lengths": other.lengths}
            line |= {"verdicts": comparison.shown(other.verdicts), "same": other.same}
            line |= {"win_rate": other.score} if other.score is not None else {}
        context = self._context(self._first, Kind.PAIRWISE)
        if self.settings["repeats"] > 1:
            pair = figures.points(first, 0), figures.points(first, 1)
            measured += measurements.agreement(context, "repeat_kappa", pair, "two askings of the same judge")
        if self.judges.second is not None:
            second, others = self._compare(self.judges.second, self.asked, sides, against)
            measured += others
            both = figures.points(first, 0), figures.points(second, 0)
            measured += measurements.agreement(
                context, "kappa", both, f"two judges, the other {self.judges.second.name}"
            )
        return measured

    def _compare(
        self, judge: Judge, asked: Sequence[Question], sides: tuple[Sequence[Answer], Sequence[Answer]], against: str
    ) -> tuple[list[Compared], list[Measurement]]:
        prompt, repeats = self._prompt(Kind.PAIRWISE), self.settings["repeats"]
        compared, verdicts = comparison.compare(judge, prompt, asked, sides, repeats)
        self._count(verdicts)
        return compared, measurements.of_comparison(self._context(judge, Kind.PAIRWISE, against), compared, verdicts)

    def _grades(self, ours: Sequence[Answer]) -> list[Measurement]:
        measured = []
        for judge in filter(None, (self.judges.first, self.judges.second)):
            prompt, repeats = self._prompt(Kind.GRADE), self.settings["repeats"]
            grades, verdicts = comparison.grade(judge, prompt, self.asked, ours, repeats)
            self._count(verdicts)
            measured += measurements.of_grades(self._context(judge, Kind.GRADE), grades, verdicts)
            if judge is self._first:
                self._keep_grades(grades)
        return measured

    def _keep_grades(self, grades: Sequence[Sequence[Verdict | None]]) -> None:
        for line, row in zip(self._lines, grades, strict=True):
            value = measurements.mean_grade(row)
            line |= {"grade": value} if value is not None else {}
            line["grades"] = [{"value": one.value, "reply": one.text or one.refused} for one in row if one is not None]

    def _known_pairs(self) -> list[Measurement]:
        """Return how often the first judge agrees with the known preference of held-out pairs."""
        count = int(self.settings["known_pairs"])
        pairs = questions.known_pairs(self.checkpoint.prepared, count) if count else []
        if not pairs:
            return []
        asked = [pair[0] for pair in pairs]
        sides = ([answers.given(text) for _, text, _ in pairs], [answers.given(text) for _, _, text in pairs])
        _, measured = self._compare(self._first, asked, sides, "the rejected responses of held-out pairs")
        renamed = {
            "win_rate": "known_agreement",
            "position_bias": "known_position_bias",
            "unreadable": "known_unreadable",
        }
        return [
            m.model_copy(update={"metric": f"judge.{renamed[name]}.heldout_pairs"})
            for m in measured
            if (name := m.metric.split(".")[1]) in renamed
        ]
