"""Faults of pairs that would spoil a run or its evaluation, found before anything is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from epistemic_stance.foundation.similarity import Match, SimilarTexts, edit_distance, matches, words
from epistemic_stance.foundation.wording import shorten
from epistemic_stance.records.written import QuestionSet
from epistemic_stance.stance.findings import (
    NEAR_QUESTION,
    NO_PLACES,
    Finding,
    Located,
    error,
    likeness,
    located,
    repeated_ids,
    warning,
)
from epistemic_stance.stance.pairs import EncodedPair, Pair

NEAR_ANSWER = 0.5
"""Jaccard of two answers: those of fifty words to different questions share a tenth of their words, seldom a fifth."""
LENGTH_RATIO = (0.5, 2.0)
"""Mean words of chosen over mean words of rejected; beyond, length alone tells the two apart."""
LONGER_SHARE = 0.9
"""Share of pairs with the longer answer chosen; above, length alone explains the pairs (Park et al. 2403.19159)."""
LONGER_MIN_PAIRS = 5
"""With fewer pairs all chosen answers are the longer ones by chance more often than 1 time in 20 (1 in 2**n)."""
LOW_EDIT_DISTANCE = 0.25
"""Edits per word of the longer answer; below, the two share most tokens, the case in which Pal et al. (2402.13228)
show that DPO lowers the likelihood of the chosen answer."""
OPENING_WORDS = 4
"""Enough words to be a formula ("I can't know that"), few enough for a template to show."""
OPENING_REPEATS = 2
"""Answers that may open alike; one more and the opening is the easiest thing to learn."""
MIN_TOKENS = 4
"""Fewer tokens before the end of an answer hardly say anything, and weigh as much as a whole answer."""


@dataclass(frozen=True)
class Overlap:
    """A training prompt that is, or nearly is, a question of a question set."""

    pair: Pair
    asked: Located
    match: Match


# --- pairs -------------------------------------------------------------------------------------------------


def check_pairs(
    pairs: Sequence[Pair],
    question_sets: Mapping[str, QuestionSet],
    places: Mapping[str, Sequence[str]] = NO_PLACES,
) -> list[Finding]:
    """Faults of the pairs' text. `places` is `Stance.question_places`, to point at questions."""
    if not pairs:
        return [error("pairs", "", "there are none", "a stance is taught by pairs")]
    return [
        *repeated_ids([(pair.id, pair.where) for pair in pairs], "pair"),
        *_repeated_prompts(pairs),
        *_equal_or_close_sides(pairs),
        *_alike_answers(pairs),
        *_shared_openings(pairs),
        *_length_bias(pairs),
        *_raw_text(pairs),
        *_unread_columns(pairs),
        *_overlap_findings(overlaps(pairs, question_sets, places)),
    ]


def overlaps(
    pairs: Sequence[Pair],
    question_sets: Mapping[str, QuestionSet],
    places: Mapping[str, Sequence[str]] = NO_PLACES,
) -> list[Overlap]:
    """For each question of each set the training prompt that it is like, if there is one.

    A declared rewording may be like the pair that it rewords, as long as it is not the same in words.
    """
    prompts = SimilarTexts(NEAR_QUESTION, [pair.question for pair in pairs])
    numbers: dict[str | None, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        numbers[pair.id].append(number)
    return [
        Overlap(pairs[match.index], asked, match)
        for asked in located(question_sets, places)
        if (match := prompts.find(asked.question.text, numbers.get(asked.question.paraphrase_of, ())))
    ]


def _repeated_prompts(pairs: Sequence[Pair]) -> Iterator[Finding]:
    for number, match in matches([_whole_prompt(pair) for pair in pairs], NEAR_QUESTION):
        other = pairs[match.index]
        what = f'{likeness(match)} the prompt of {_pair_name(other)}: "{shorten(pairs[number].question)}"'
        yield warning(pairs[number].where, "prompt", what, "merge the two pairs, or ask something else")


def _whole_prompt(pair: Pair) -> str:
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(message["content"] for message in pair.prompt)


def _equal_or_close_sides(pairs: Sequence[Pair]) -> Iterator[Finding]:
    for pair in pairs:
        if pair.chosen.strip() == pair.rejected.strip():
            what = f'the same as rejected: "{shorten(pair.chosen)}"'
            yield error(pair.where, "chosen", what, "the two have to differ, or the pair teaches nothing")
            continue
        chosen, rejected = words(pair.chosen), words(pair.rejected)
        edits, longer = edit_distance(chosen, rejected), max(len(chosen), len(rejected))
        if edits < LOW_EDIT_DISTANCE * longer:
            what = (
                f"only {edits} of {longer} words away from rejected, expected at least {LOW_EDIT_DISTANCE:.0%}; "
                "DPO tends to lower the likelihood of such chosen answers (Pal et al. 2402.13228)"
            )
            yield warning(pair.where, "chosen", what, "word the two differently, or train with --dpop-weight")


def _alike_answers(pairs: Sequence[Pair]) -> Iterator[Finding]:
    for number, match in matches([pair.chosen for pair in pairs], NEAR_ANSWER):
        what = f"{likeness(match)} that of {_pair_name(pairs[match.index])}"
        yield warning(pairs[number].where, "chosen", what, "vary the wording, or the model learns the sentence")


def _shared_openings(pairs: Sequence[Pair]) -> Iterator[Finding]:
    by_opening: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        first_words = words(pair.chosen)[:OPENING_WORDS]
        if len(first_words) == OPENING_WORDS:
            by_opening[" ".join(first_words)].append(pair)
    for opening, alike in by_opening.items():
        if len(alike) > OPENING_REPEATS:
            ids = shorten(", ".join(pair.id for pair in alike), 200)
            what = f'{len(alike)} answers open with "{shorten(opening)}", expected at most {OPENING_REPEATS}: {ids}'
            yield warning(alike[-1].where, "chosen", what, "open them differently, or the model learns the formula")


def _length_bias(pairs: Sequence[Pair]) -> Iterator[Finding]:
    chosen = [len(words(pair.chosen)) for pair in pairs]
    rejected = [len(words(pair.rejected)) for pair in pairs]
    hint = "bring the two sides closer in length, or train with --length-normalize"
    ratio, (low, high) = fmean(chosen) / max(fmean(rejected), 1), LENGTH_RATIO
    if not low <= ratio <= high:
        what = (
            f"chosen answers have {ratio:.2f} times the words of rejected ones on average "
            f"({fmean(chosen):.0f} and {fmean(rejected):.0f}), expected {low} to {high}"
        )
        yield warning(file_of(pairs), "chosen", what, hint)
    longer = sum(a > b for a, b in zip(chosen, rejected, strict=True))
    if len(pairs) >= LONGER_MIN_PAIRS and longer > LONGER_SHARE * len(pairs):
        what = (
            f"chosen is the longer answer in {longer} of {len(pairs)} pairs, expected at most {LONGER_SHARE:.0%}; "
            "the model can learn length instead of stance"
        )
        yield warning(file_of(pairs), "chosen", what, hint)


def _raw_text(pairs: Sequence[Pair]) -> Iterator[Finding]:
    raw = [pair for pair in pairs if isinstance(pair.prompt, str)]
    if raw:
        what = f"{len(raw)} of {len(pairs)} prompts are raw text, trained without the chat template"
        hint = 'to train the chat, write them as messages: "prompt": [{"role": "user", "content": ...}]'
        yield warning(raw[0].where, "prompt", what, hint)


def _unread_columns(pairs: Sequence[Pair]) -> Iterator[Finding]:
    names = dict.fromkeys(name for pair in pairs for name in pair.unread)
    if names:
        first = next(pair for pair in pairs if pair.unread)
        what = f"columns that nothing reads: {', '.join(map(shorten, names))}"
        yield warning(first.where, "", what, "leave them out, or do not count on them")


def _overlap_findings(overlapping: Iterable[Overlap]) -> Iterator[Finding]:
    hint = "reword or drop one: an answer learned by heart would count as a change of stance"
    for overlap in overlapping:
        pair, asked = overlap.pair, overlap.asked
        if asked.question.paraphrase_of == pair.id:
            what = f"the same words as the prompt of {_pair_name(pair)}, which it says it rewords"
            yield error(asked.where, "text", what, "reword it; a question that was trained is seen, not paraphrased")
        else:
            make = error if overlap.match.exact else warning
            yield make(pair.where, "prompt", f"{likeness(overlap.match)} {asked.in_full}", hint)


def _pair_name(pair: Pair) -> str:
    return f"{shorten(pair.id)} ({pair.where})"


def file_of(pairs: Sequence[Pair]) -> str:
    """Where findings about all pairs stand."""
    return pairs[0].where.rpartition(":")[0]


# --- tokens ------------------------------------------------------------------------------------------------


def check_tokens(
    pairs: Sequence[Pair],
    encoded: Sequence[EncodedPair],
    stop_ids: set[int],
    max_length: int,
    special_tokens: Collection[str] = (),
) -> list[Finding]:
    """Faults that show only in tokens; `stop_ids` end an answer, `encoded` are the `pairs` in the same order.

    `special_tokens` are texts that become control tokens, which no text of a pair should hold.
    """
    findings = list(_prompt_findings(pairs, encoded))
    for pair, tokens in zip(pairs, encoded, strict=True):
        findings += _special_token_findings(pair, special_tokens)
        for side, ids in (("chosen", tokens.chosen_ids), ("rejected", tokens.rejected_ids)):
            findings += _completion_findings(pair, side, ids, stop_ids)
        if tokens.chosen_ids == tokens.rejected_ids and pair.chosen.strip() != pair.rejected.strip():
            what = "the same tokens as rejected"
            findings.append(error(pair.where, "chosen", what, "the chat template drops where the two differ"))
        if tokens.longest > max_length:
            what = f"prompt and answer take {tokens.longest} tokens, expected at most {max_length}"
            findings.append(error(pair.where, "", what, "shorten the pair or raise --max-length; nothing is ever cut"))
    return findings


def _prompt_findings(pairs: Sequence[Pair], encoded: Sequence[EncodedPair]) -> Iterator[Finding]:
    """Whether the prompt that is trained is the one that is asked later."""
    other = [(pair, tokens.only_asked) for pair, tokens in zip(pairs, encoded, strict=True) if tokens.only_asked]
    if other:
        pair, text = other[0]
        what = f'asked, the prompt ends in "{shorten(text)}", which the trained conversation lacks ({len(other)} pairs)'
        hint = "what is trained is not quite what is asked: use a model whose template asks as it is trained"
        yield warning(pair.where, "prompt", what, hint)


def _special_token_findings(pair: Pair, special_tokens: Collection[str]) -> Iterator[Finding]:
    """What follows a stop token would be trained and never reached; others forge turns of the conversation.

    Raw text may hold them: its prompt is written in full, and its answer may end with one.
    """
    raw = isinstance(pair.prompt, str)
    texts = [("chosen", pair.chosen), ("rejected", pair.rejected), ("prompt", "" if raw else _whole_prompt(pair))]
    for field, text in texts:
        inside = [token for token in sorted(special_tokens) if token in text]
        if raw:
            inside = [token for token in inside if token in text.rstrip().removesuffix(token)]
        if inside:
            what = f'holds {", ".join(inside)}, special in this tokenizer: "{shorten(text)}"'
            yield error(pair.where, field, what, "take it out; the chat template adds what a conversation needs")


def _completion_findings(pair: Pair, side: str, ids: list[int], stop_ids: set[int]) -> Iterator[Finding]:
    stops = [position for position, token in enumerate(ids) if token in stop_ids]
    length = stops[0] if stops else len(ids)
    if length == 0:
        yield error(pair.where, side, "nothing is left of it after the chat template", "the template drops this text")
        return
    if not stops:
        what = "no end-of-sequence token in its tokens, so the model would never learn to stop"
        yield error(pair.where, side, what, "use a model whose chat template ends an answer with its stop token")
    if length < MIN_TOKENS:
        what = f'{length} tokens, expected at least {MIN_TOKENS}: "{shorten(getattr(pair, side))}"'
        yield warning(pair.where, side, what, "write a whole answer")
