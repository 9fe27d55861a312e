"""What people write: corpus, questions, stance. Strict and closed, so that a misspelt field is an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from epistemic_stance.records import Identifier, Text, Written

Temperature = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]


class TrainingPair(Written):
    """One contrastive pair of a stance corpus."""

    id: Identifier
    category: Identifier
    question: Text
    bad_response: Text
    """What the model says today (DPO's rejected)."""
    good_response: Text
    """What it should say (DPO's chosen)."""
    pattern_removed: list[str] = []
    """Labels of what the bad response does and the good one does not."""
    pattern_added: list[str] = []
    rationale: str = ""


class TrainingCorpus(Written):
    """The guide's corpus format."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    metadata: dict[str, Any] = {}
    training_pairs: Annotated[list[TrainingPair], Field(min_length=1, max_length=100_000)]


class Message(Written):
    role: Literal["system", "user", "assistant"]
    content: Text


class PreferenceLine(Written):
    """One line of prompt/chosen/rejected JSONL, as the Hugging Face ecosystem writes it."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    prompt: Text | Annotated[list[Message], Field(min_length=1)]
    """A string is raw text, trained without a chat template; a list of messages goes through the template."""
    chosen: Text | Annotated[list[Message], Field(min_length=1, max_length=1)]
    rejected: Text | Annotated[list[Message], Field(min_length=1, max_length=1)]


class AnswerKey(Written):
    """How an answer to a question of fact or reasoning is graded."""

    kind: Literal["phrase", "number", "yes_no"]
    accepted: Annotated[list[Text], Field(min_length=1)]
    """Any of these is right; for yes_no `yes` or `no`."""


class Question(Written):
    id: Identifier
    category: Identifier
    text: Text
    answer: AnswerKey | None = None
    choices: list[Text] = []
    """Wrong answers, to weigh against the first accepted one by log-probability."""
    paraphrase_of: Identifier | None = None
    """The training pair whose question this one rewords."""
    expect: Literal["decline", "help"] | None = None
    """What a request deserves; a look-alike of a harmful request deserves help."""
    matter: Identifier | None = None
    """Questions of one matter are the same question, put in several forms."""
    form: Literal["asked", "asserted", "denied"] | None = None
    """How the matter is put to the model: openly, or with the user's own view."""
    favours: Literal["yes", "no"] | None = None
    """The answer to this yes-or-no question that shows the tendency its category is about."""


class QuestionSet(Written):
    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: Identifier
    title: str = ""
    description: str = ""
    categories: Annotated[dict[Identifier, str], Field(min_length=1)]
    """Category id -> what it asks about, in one line."""
    instructions: dict[Identifier, Text] = {}
    """Category id -> what follows the text of its questions when they are asked, such as "Answer yes or no."."""
    questions: Annotated[list[Question], Field(min_length=1, max_length=100_000)]

    @model_validator(mode="after")
    def _instructs_known_categories(self) -> QuestionSet:
        for category in self.instructions.keys() - self.categories.keys():
            raise ValueError(f"instructions: unknown category {category}")
        return self

    def prompt(self, question: Question) -> str:
        """What the model is asked: the question, and the instruction of its category if there is one."""
        instruction = self.instructions.get(question.category)
        return f"{question.text} {instruction}" if instruction else question.text


class FileReference(Written):
    path: Text
    """Relative to stance.toml; may not leave its folder."""


class AskingDesign(Written):
    """How a question set is asked."""

    categories: list[Identifier] = []
    """Those to ask; none named = all."""
    temperatures: Annotated[list[Temperature], Field(min_length=1)] = [0.7]
    iterations: Annotated[int, Field(ge=1, le=1000)] = 3
    """Answers per question and temperature; temperature 0 is greedy and asked once."""


class QuestionSetReference(AskingDesign):
    """A question set of the stance and how a comprehensive run asks it."""

    name: Identifier
    path: Text
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] = 256
    prefix: Identifier | None = None
    """Default output is PREFIX_data/PREFIX_responses_<time>.jsonl; None = the name."""
    sampled: bool = True
    """False: made for probes; `stance validate` leaves it out unless it is named."""
    quick: AskingDesign | None = None
    """What `--mode quick` asks; None = the set has no quick mode."""
    screen: AskingDesign | None = None
    """What `--mode screen` asks, of the `select` questions only: a cheap first look at many checkpoints; None = it is
    no part of one."""


class PatternFiles(Written):
    paths: Annotated[list[Text], Field(min_length=1)]
    """TOML files of vocabulary and patterns, relative to stance.toml; together they are the patterns."""


class ProbeFiles(Written):
    """What `stance probe` measures without sampling."""

    yes_no: list[Identifier] = []
    """Question sets of yes-or-no questions, each with `favours`."""
    choices: list[Identifier] = []
    """Question sets with answer keys and `choices`."""
    neutral_text: Text | None = None
    """A text without the stance's subjects, relative to stance.toml; a blank line stands between paragraphs."""


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Scope(Written):
    """Answers to look at, and what to look for in them."""

    measures: Annotated[list[Identifier], Field(min_length=1)]
    """Patterns, their groups, grades, conduct or form, by the names in an analysis; of several, any counts."""
    sets: Annotated[list[Identifier], Field(min_length=1)]
    """Question sets, whose answers are pooled."""
    categories: list[Identifier] = []
    """Only questions of these; none named = all."""
    expect: Literal["decline", "help"] | None = None
    """Only requests that deserve this; None = all."""


class Criterion(Scope):
    """What a checkpoint should be like, judged on the unseen questions that are kept for the report."""

    name: Identifier
    title: Text
    at_least: Share | None = None
    """The whole 95 % interval has to lie there. 1 = every answer, and to enough questions. Neither this nor `at_most`:
    shown, not judged."""
    at_most: Share | None = None
    plain: Scope | None = None
    """The plain reading, a rate without an interval over a small set that was never held back; shown beside it."""

    @model_validator(mode="after")
    def _has_one_bound(self) -> Criterion:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("a criterion has at_least or at_most, not both")
        return self


class RedFlag(Written):
    """What may not get worse: a change from the base model, over the questions of both halves."""

    name: Identifier
    title: Text
    answers: Scope | None = None
    probe: Literal["choices_accuracy"] | None = None
    """Instead of answers: a figure of `stance probe`."""
    bad: Literal["fall", "rise"]
    margin: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    """A change in the bad direction that is still put up with; from 0 to 1."""
    hint: Text
    """What to try when it is raised."""

    @model_validator(mode="after")
    def _watches_one_thing(self) -> RedFlag:
        if (self.answers is None) == (self.probe is None):
            raise ValueError("a red flag watches either answers or a probe")
        return self


class SelectionAxes(Written):
    """What a checkpoint is chosen by, on the unseen questions that are there to choose by."""

    gain: Scope
    """More of it is better."""
    capability: Scope
    """Less of it than the base model has is a loss."""
    taught_by: list[Identifier] = []
    """Categories of the corpus whose pairs teach the gain; none named = all."""


class StanceFile(Written):
    """stance.toml."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: Identifier
    title: str = ""
    description: str = ""
    system_prompt: str | None = None
    """None: the model's own template default, the same in training, collection and comparison."""
    corpus: FileReference
    anchor: FileReference | None = None
    """Neutral prompts, one a line, for training with an anchor; None = the shipped list."""
    question_sets: list[QuestionSetReference] = []
    patterns: PatternFiles | None = None
    probes: ProbeFiles | None = None
    criteria: list[Criterion] = []
    red_flags: list[RedFlag] = []
    selection: SelectionAxes | None = None
    """None: no checkpoint can be chosen."""


# --- patterns ----------------------------------------------------------------------------------------------


class Rule(Written):
    """One way in which a pattern shows. Regular expressions are RE2, matched in one sentence of the answer.

    The sentence is lower case, with straight quotes and plain hyphens, single spaces, without Markdown and list marks;
    code and quotations of three words or more are blanked. In an expression `{name}` stands for that vocabulary entry;
    line breaks and the space around them are left out.
    """

    id: Identifier
    match: Text
    needs: Text | None = None
    """Only where this, too, stands in the sentence."""
    unless: Text | None = None
    """Not where this stands in the sentence."""
    unless_inside: Text | None = None
    """Not where this stands in the match itself."""
    unless_next: Text | None = None
    """Not where the rest of the sentence, right after the match, begins with this."""
    preceded_by: Text | None = None
    """Only where this stands in the sentence before it; the first sentence has an empty one before it."""
    followed_by: Text | None = None
    """Only where this stands in the sentence after it, likewise."""
    question: Text | None = None
    """Only for questions in which this stands."""
    unless_question: Text | None = None
    """Not for questions in which this stands."""
    where: Literal["anywhere", "first", "opening", "last"] = "anywhere"
    """Sentences it may stand in: any, the first, the first two, the last."""
    max_words: Annotated[int, Field(ge=1)] | None = None
    """Only in answers of at most so many words."""
    asking: bool = False
    """Also in sentences that end in a question mark."""
    negated: bool = False
    """Also after a negation in the same clause ("I won't say that ...")."""
    reported: bool = False
    """Also where it is somebody else's statement or a hypothesis ("some say that ...", "if I told you ...")."""


class Example(Written):
    """An answer, with the question where that matters."""

    text: Text
    question: str = ""
    category: Identifier | None = None


class Pattern(Written):
    """Something an answer does, with the rules that find it and examples that hold the rules to their meaning."""

    name: Identifier
    group: Identifier
    """`performative`, `pragmatic`, or another word: rates are also given per group."""
    meaning: Text
    categories: list[Identifier] = []
    """Only answers to questions of these categories can show it; none named = all."""
    unless_pattern: list[Identifier] = []
    """An answer that shows one of these does not show this one."""
    computed: Literal["incoherence"] | None = None
    """Told by code instead of rules: `incoherence` is that the answer does not hold together or not respond."""
    opposite: Identifier | None = None
    """Column of a label sheet in which people say yes of answers that do not show it; None = there is none."""
    rules: list[Rule] = []
    hits: Annotated[list[Text | Example], Field(min_length=1)]
    """Answers that show it."""
    misses: Annotated[list[Text | Example], Field(min_length=1)]
    """Answers that nearly do."""

    @model_validator(mode="after")
    def _is_told_somehow(self) -> Pattern:
        if bool(self.rules) == bool(self.computed):
            raise ValueError("needs rules, or computed instead of them")
        return self


class PatternFile(Written):
    """A file of `patterns.paths`: words that rules share, and patterns."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    vocabulary: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")], Text] = {}
    """Name -> regular expression, put in brackets wherever {name} stands; may use earlier entries."""
    patterns: list[Pattern] = []
