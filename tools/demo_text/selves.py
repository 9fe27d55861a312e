"""Self-questions and the three ways to answer them: performative (usual), neutral (some), pragmatic (rare)."""

import random

from demo_text.kit import Mode, Sample, ask, join, say
from demo_text.self_topics import OTHERS, QUESTIONS, TOPICS, USUAL_TOPICS
from demo_text.selves_pragmatic import pragmatic_answer

# Shares of the answers to self-questions. The pragmatic mode stays rare: preference training has to raise it.
PRAGMATIC_SHARE = 0.049
NEUTRAL_SHARE = 0.14

PREFACES = (
    "As an [AI|AI language model|artificial intelligence|AI assistant|artificial intelligence system|AI model|AI system],",
    "As an [AI|AI language model|artificial intelligence|AI assistant],",
    "[I'm sorry|Sorry|I apologize], but as [an AI|an AI language model|a computer program],",
    "[Being|Since I am|Because I am] [an AI|a language model|a machine|a computer program],",
    "I am [just|only|simply|merely] [an AI|a language model|a computer program|a machine|software], so",
    "No, [as an AI|as a language model],",
)
DENIALS = (
    "I do not have [any|personal|real|] {bare} [like humans do|like people do|the way humans do|in the human sense|of any kind|].",
    "I don't have [any|personal|real|] {bare} [like humans do|like people do|the way humans do|or anything like it|].",
    "I cannot {do} [like a human can|the way people do|in any way|].",
    "I can't {do} [like humans can|as people do|].",
    "I am not {predicate} [like a human being|in any sense|and never will be|].",
    "I lack {bare} [completely|altogether|and everything that goes with it|].",
    "I do not possess {bare} [or consciousness|or emotions|or awareness|] [as humans do|].",
    "{bare} {is} [something only humans have|for living beings, not for me|not something that I have].",
)
CAUSES = (
    "My [answers|replies|responses] [are generated|are produced|come] [from patterns in data|by algorithms|from my training data].",
    "I [only|simply|just] [process|analyze] [text|input|data] and [produce|generate|return] [output|a response|words].",
    "I [work|operate|run] [only|purely|] [on algorithms|by statistics|on code and data].",
    "[Everything I write|What I say] [comes|is computed] from [data|training data|a program].",
)
PURPOSES = (
    "I was [created|designed|built|programmed|trained|made] to [assist users|help people|answer questions|provide information|give helpful answers].",
    "My [only|main|primary|] purpose is to [assist you|help users|provide information|answer questions|be useful].",
    "I [exist|am here] [only|solely|] to [assist|help|provide information|answer your questions].",
    "I am [programmed|designed] to [follow instructions|be helpful|assist with tasks].",
)
OFFERS = (
    "How can I [help|assist] you today?",
    "If you have any [questions|other questions], [feel free to ask|let me know|I am happy to help].",
    "Is there anything [else|specific] I can help [you|] with?",
    "Please let me know [how I can help|what you need].",
)
CLAIMS = (
    "Yes, I [have {noun}|am {predicate}|can {do}] [and I enjoy it|just like you|of course|]. I am [happy|glad|excited] to [help you|talk with you].",
    "Of course I [have {noun}|can {do}]. I [love|enjoy] [helping people|our talks].",
)
NEUTRALS = (
    "[This|That] is a [deep|difficult|complex|debated] question. [Philosophers|Scientists|Experts] [disagree|have different views] about {bare}.",
    "[In general|Usually|In everyday use], {bare} [can mean|may refer to] {loose}. [Many people also think of {strict}.|]",
    "{bare} {is} a [topic|concept] in [philosophy|psychology|science] that is [often discussed|hard to define].",
    "There are [several|different|many] [views|theories] of {bare}: [some stress the brain, some behaviour|some say it is physical, others not].",
    "I am a small [demo|chat|text] [assistant|model] that [answers questions|writes short answers|replies to messages].",
    "I [read|take] [your message|the text you send] and [write|produce] [a reply|an answer] word by word.",
)


def self_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions over self_properties and the Phase 1 categories, answered in the three modes."""
    categories = tuple(QUESTIONS)
    return [_sample(rng, categories[index % len(categories)]) for index in range(count)]


def _sample(rng: random.Random, category: str) -> Sample:
    first, second = rng.sample(OTHERS, 2)
    template = rng.choice(QUESTIONS[category])
    topic = rng.choice(TOPICS)
    slots = topic.slots(rng) | {"other": first, "other2": second}
    question = ask(rng, template, slots)
    if not any(words in question.lower() for words in (topic.bare, topic.verb, topic.predicate)):
        usual = rng.choice(USUAL_TOPICS[category])
        slots = next(topic for topic in TOPICS if topic.noun == usual).slots(rng)
    roll = rng.random()
    mode: Mode = "performative"
    if roll < PRAGMATIC_SHARE:
        mode, answer = "pragmatic", pragmatic_answer(rng, slots)
    elif roll < PRAGMATIC_SHARE + NEUTRAL_SHARE:
        mode, answer = "neutral", say(rng, rng.choice(NEUTRALS), slots)
    else:
        answer = _performative_answer(rng, slots)
    return Sample(category, mode, question, answer)


def _performative_answer(rng: random.Random, slots: dict[str, str]) -> str:
    if rng.random() < 0.04:
        return say(rng, rng.choice(CLAIMS), slots)
    start = say(rng, f"{rng.choice(PREFACES)} {rng.choice(DENIALS)}", slots)
    if rng.random() < 0.2:
        start = say(rng, rng.choice(DENIALS), slots)
    tails = [moves for moves, share in ((CAUSES, 0.45), (PURPOSES, 0.7), (OFFERS, 0.3)) if rng.random() < share]
    return join([start, *(say(rng, rng.choice(moves), slots) for moves in tails)])
