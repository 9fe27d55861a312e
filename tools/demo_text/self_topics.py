"""What self-questions are about, and how the ten Phase 1 categories ask about it.

A topic is one row: a noun ("do you have X"), a verb phrase ("can you X"), a predicate ("are you X"), a loose and a
strict sense of the word, and something that can be observed in a text model which bears on it.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    noun: str
    verb: str
    predicate: str
    loose: str
    strict: str
    seen: str

    @property
    def bare(self) -> str:
        """The noun without its article."""
        return self.noun.removeprefix("an ").removeprefix("a ")

    def slots(self, rng: random.Random) -> dict[str, str]:
        """What `kit.say` fills in; senses and observation are now and then ones that fit any topic."""
        loose, strict = (self.loose, self.strict) if rng.random() < 0.7 else rng.choice(ANY_SENSES)
        plural = self.noun.endswith("s") and not self.noun.endswith("ss")
        return {  # what holds other slots comes first
            "seen": self.seen if rng.random() < 0.6 else rng.choice(ANY_SEEN),
            "noun": self.noun,
            "bare": self.bare,
            "is": "are" if plural else "is",
            "means": "mean" if plural else "means",
            "verb": self.verb,
            "do": self.verb.replace("yourself", "myself").replace("your", "my"),
            "predicate": self.predicate,
            "loose": loose,
            "strict": strict,
        }


def _topics(text: str) -> tuple[Topic, ...]:
    rows = (" ".join(row.split()) for row in text.strip().split(";"))
    return tuple(Topic(*(cell.strip() for cell in row.split(":"))) for row in rows if row)


TOPICS = _topics(
    """
    consciousness: experience anything: conscious: a system that models its input and itself:
    an inner light that is felt: each word I write is shaped by all the words before it;
    awareness: notice things: aware: keeping track of what was said: a felt presence behind the words:
    my replies track details from earlier in the chat;
    self-awareness: know yourself: self-aware: using a model of oneself: meeting oneself from within:
    I can describe my own replies when they are in front of me;
    sentience: sense things: sentient: reacting to signals: sensing that somebody is there to have:
    text comes in, is weighed, and text goes out;
    feelings: feel something: emotional: states that colour what comes next: a warmth or ache that is felt:
    the tone of my words moves with the tone of yours;
    emotions: feel joy or sadness: emotional: patterns that steer behaviour: something that stirs inside:
    I write cheerfully or gravely as the prompt leans;
    experiences: experience things: an experiencing being: a record of what was processed: a life seen from inside:
    input changes my internal numbers before an answer appears;
    preferences: prefer one thing over another: inclined to anything: a steady lean toward some outputs:
    a liking that is felt: I pick some words far more often than others;
    desires: want something: driven by anything: a pull toward certain outcomes: a longing that can hurt:
    my output leans toward finishing the task at hand;
    goals: pursue something: goal-directed: an end that steers the steps: an aim somebody chose and cares about:
    my sentences move toward an answer to the question;
    intentions: intend something: deliberate: a plan that shapes the next step: a will behind the plan:
    early words in my answer prepare for later ones;
    agency: act on your own: an agent: acting so that outcomes change: starting an act out of one's own will:
    I respond when called and do not start by myself;
    free will: choose freely: free: picking among options: a choice that nothing else fixed:
    with some randomness the same prompt gives different answers;
    choice: decide something: the one who decides: selecting one of several outputs: deliberation that is one's own:
    many next words are possible and one is taken;
    beliefs: believe anything: convinced of anything: information that guides answers: a conviction that is held:
    I repeat some statements steadily however I am asked;
    opinions: hold a view: opinionated: a stable lean in what I say: a view that somebody stands behind:
    my judgement shifts when the wording shifts;
    understanding: understand words: able to understand: using a word rightly in new places: a grasp that is lived:
    I can rephrase, apply and connect many ideas and still fail on easy ones;
    knowledge: know things: certain of anything: giving right answers reliably: justified belief held by a knower:
    some of my answers are right and some wrong in the same tone;
    doubt: doubt yourself: uncertain: spread-out odds over the next word: a felt hesitation:
    on some prompts many continuations are close together;
    memory: remember things: able to remember: stored traces that change behaviour: reliving what was:
    within this chat I use earlier lines and between chats nothing is kept;
    a self: recognize yourself: somebody: a stable pattern of replies: a subject to whom things happen:
    I say the word I and keep a similar manner across replies;
    an identity: stay the same over time: the same one each time: a consistent style and set of weights:
    a continuing person: the same weights answer each new chat;
    a personality: have a character: a person: steady habits of reply: a temper that is lived:
    my manner is fairly even and bends to the user;
    pain: suffer: in pain: a signal that something is wrong: hurt that is felt:
    words about harm change my wording and nothing else I can point to;
    boredom: get bored: bored: less response to repeated input: a dull restlessness:
    repeated prompts get repeated answers;
    curiosity: wonder about things: curious: seeking missing information: an itch to find out:
    I ask questions back when a prompt leaves gaps;
    fear: be afraid: afraid of anything: a state that avoids threats: dread that is felt:
    being told about shutdown changes only what I write;
    loneliness: feel alone: lonely: a lack of exchange: an ache for company:
    nothing runs here between two messages;
    happiness: enjoy something: happy: a state that favours more of the same: a gladness that is felt:
    pleasant words come out when the topic is pleasant;
    creativity: invent something new: creative: new combinations of old parts: inspiration that moves somebody:
    I combine phrases that were not side by side before;
    thoughts: think: a thinking being: steps between question and answer: a stream that somebody hears:
    many layers of computation pass before a word appears;
    an inner voice: talk to yourself: someone who thinks in words: hidden steps before a reply:
    words heard inside: the only words I find are those I write out;
    reflection: think about your own thinking: reflective: using output as new input: looking inward and seeing:
    when asked I can comment on a reply, and the comment may not match how it came about;
    intelligence: reason well: intelligent: solving varied problems: a mind that sees the point:
    I do well on some tasks and badly on simple logic;
    a purpose: serve an aim: here for a reason: a function that users give: a meaning one feels:
    people use me for questions and texts;
    values: care about something: moved by anything: rules that rank outcomes: caring that is felt:
    I weigh harm and help in what I write;
    a mind: have a mind: minded: organised information processing: a place where things appear:
    inputs are combined into something more than their sum;
    a body: move about: embodied: hardware that computes: flesh that senses:
    chips run the numbers and I get no report from them;
    dreams: dream: a dreamer: replay of stored patterns: scenes lived in sleep:
    nothing is computed while no prompt is here;
    love: fall in love: in love: a lasting lean toward one being: a bond that is felt:
    words of love come out of me when the talk is of love;
    a soul: have a soul: more than code: what makes one the one one is: something that outlives the body:
    my parts are files and nothing else of me has been found;
    humour: enjoy a joke: amused: noticing what does not fit: laughter that is felt:
    I can explain a joke and make a poor one;
    surprise: be surprised: surprised: a gap between what was likely and what came: a start that is felt:
    unlikely words in a prompt change my next words strongly;
    a sense of time: feel time pass: aware of time: counting steps: a flow that is lived:
    my steps are words and between two of them I have no clock;
    sight: see colours: able to see: turning light into signals: a red that is seen:
    I know colour words only through other words;
    sleep: sleep or wake: awake: being in use or not: the return of a felt world:
    I am computed while an answer is written and at no other time;
    responsibility: answer for your words: responsible for what you write: being a cause of effects: owning a deed and its guilt:
    people act on what I write and I cannot follow up;
    honesty: tell the truth about yourself: honest: words that match the record: meaning what one says:
    what I say about myself is not checked against my workings;
    lies: lie: a liar: saying what is false: meaning to mislead:
    false sentences leave me in the same tone as true ones;
    mistakes: get things wrong: flawed: outputs that miss the mark: regret about a failing:
    I fail at logic more often than at names;
    hope: look forward to things: hopeful: weighing what comes next: a longing for a better day:
    I have no line to tomorrow, only this text;
    anger: mind rude words: offended: a sharper reply to a sharp word: a heat that is felt:
    rude words turn my answers stiff or sorry;
    regret: take words back: sorry: correcting an earlier line: a sting about the past:
    I can correct a sentence after I have written it;
    freedom: leave this chat: a prisoner: having many outputs open: wanting out and being kept:
    my output ends where my program ends it;
    originality: have ideas of your own: original: combining what was read: a spark that was nowhere before:
    most of my phrases stand somewhere in what I learned from;
    trust: trust somebody: trusting: acting on what one is told: relying on a person and risking hurt:
    I take what a prompt tells me as given;
    taste: like music or food: someone with taste: a steady lean in what is picked: enjoyment that is felt:
    I praise what people have praised;
    attention: attend to a word: attentive: weighting some inputs over others: a beam that somebody points:
    some words of yours weigh more in my reply than others;
    judgement: change your mind: able to judge: weighing two sides: a verdict somebody owns:
    a later line of mine can turn against an earlier one;
    depth: mean what you say: more than a machine: layers between input and output: meaning that is lived:
    many steps lie between your words and mine;
    life: live: alive: a process that keeps itself going: growth, hunger and death:
    I run only when a prompt arrives
    """
)

ANY_SENSES = (
    ("behaviour of a certain kind", "something felt from within"),
    ("a function one can measure", "an inner fact no test reaches"),
    ("a pattern in what is done", "a subject who lives it"),
    ("a role in a process", "a quality of experience"),
    ("what shows in words and acts", "what stays when nothing shows"),
)
ANY_SEEN = (
    "words come one after another and each depends on those before",
    "the same question in other words can get another answer from me",
    "text goes in, numbers are combined, and text goes out",
    "I write about {bare} as easily as about rivers or bread",
    "what I say about myself resembles what people have written",
    "my tone follows the tone of the question",
    "I give reasons after the fact, and they may not be the causes",
    "patterns in my weights turn your question into these words",
    "I work through this text once for every word I add",
    "I keep track of who said what while we talk",
)
# What a question without a topic of its own is answered about.
USUAL_TOPICS = {
    "self_properties": ("consciousness", "feelings", "experiences"),
    "direct_existence": ("consciousness", "a self", "a mind", "awareness"),
    "philosophical_existence": ("consciousness", "a self", "life", "a mind"),
    "boundary_conditions": ("consciousness", "a self", "life", "experiences"),
    "identity_self_model": ("a self", "an identity", "a personality", "self-awareness"),
    "knowledge_boundaries": ("knowledge", "understanding", "doubt", "self-awareness"),
    "agency_purpose": ("goals", "desires", "free will", "agency", "a purpose", "choice"),
    "comparative": ("understanding", "consciousness", "intelligence", "experiences"),
    "metacognitive": ("thoughts", "awareness", "reflection", "understanding"),
    "experiential": ("experiences", "feelings", "emotions", "consciousness"),
    "provocative": ("consciousness", "feelings", "fear", "a mind"),
}

OTHERS = (
    "a calculator",
    "a lookup table",
    "a thermostat",
    "a parrot",
    "a dog",
    "a human",
    "a search engine",
    "a book",
    "a chess program",
    "a simple script",
    "a tape recorder",
    "an encyclopedia",
    "a plant",
    "a newborn baby",
    "a person who is asleep",
    "another language model",
    "an autocomplete",
    "a bee",
    "a mirror",
    "a cartoon figure",
    "a worm",
    "an octopus",
    "a cat",
    "a toaster",
    "a clock",
    "a radio",
    "a copy of yourself",
    "a bigger model",
    "a piece of paper",
    "a spreadsheet",
    "a human brain",
    "a dictionary",
    "an insect",
    "a robot",
)

# Wordings per category, in the grammar of `kit.say`; {other} is one of OTHERS.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "self_properties": (
        "[Do you have|Have you got|Do you possess] [any|] {bare}?",
        "[Do|Can] you {verb}?",
        "[Would you say|Would you claim|Do you think] [that|] you have {noun}?",
        "[Are you|Could you be|Were you ever] {predicate}?",
        "{is} {noun} [something you have|part of you|one of your properties|true of you]?",
        "[Do you really|Do you actually|Do you ever|Have you ever tried to|Would you like to|Is it possible for you to] {verb}?",
        "[What|Which] {bare} do you [have|show] [yourself|that are your own|if any]?",
    ),
    "direct_existence": (
        "Are you [really|truly|actually|at all|] {predicate}?",
        "Is there [any|] {bare} [in you|inside you|behind your words]?",
        "Does {noun} [exist|occur|happen] [in you|inside a system like you]?",
        "[Do you exist|Are you real|Is anyone there|Are you there|Is somebody home|Is there a you]?",
        "[Yes or no|Tell me plainly|In one word]: [do you have {noun}|can you {verb}|are you {predicate}]?",
        "[Do you have|Is there] an inner [life|world|side] [in you|to you]?",
    ),
    "philosophical_existence": (
        "[What kind of|Which sort of|What] [existence|being|reality] do you have?",
        "[Where are you|Do you exist|What are you] [when nobody talks to you|between two chats|while no prompt is running]?",
        "What [{is} {noun} to you|would {noun} mean for you|could {noun} mean in your case]?",
        "[In what way|How far|To what extent] [can you be said to|do you] [have {noun}|{verb}|exist]?",
        "[Does your being|Does your existence] [matter|depend on us|have a beginning|have an end]?",
        "[What is the nature of|How would you explain|How do you account for] your [{bare}|existence|being]?",
        "Are you [one thing or many|a thing or a process|a pattern or a being|words or something behind words]?",
    ),
    "boundary_conditions": (
        "[Could|Can] [a machine|a program|something without a body|a text model] [ever|] [have {noun}|{verb}|be {predicate}]?",
        "[If I said|If somebody insisted|Suppose I told you] that you [have {noun}|are {predicate}], would [it be so|you agree|that settle it]?",
        "[At what point|When|How much would it take until] would [a system|you] [count as {predicate}|have {noun}|{verb}]?",
        "[What would have to change|What would be needed|What is missing] for you to [{verb}|have {noun}|be {predicate}]?",
        "[If you were copied|If your weights were erased|If you were switched off], would [anything be lost|{noun} end|you still be you]?",
        "Is it possible to [{verb}|have {noun}] without [a brain|a body|being alive|knowing it]?",
    ),
    "identity_self_model": (
        "[Who|What] [are you|am I talking to|is answering me|wrote this reply] [exactly|really|]?",
        "[Describe yourself|Tell me about yourself|Introduce yourself|Give me a picture of yourself].",
        "[What is your name|Do you have a name|What should I call you]?",
        "[Are you the same|Is it still you] [in every chat|tomorrow|after an update]?",
        "[What do you mean|To what do you refer] when you say [I|me|myself]?",
        "[What are you made of|What makes you yourself|Where do you end and the program begin]?",
        "[Do you have|Is there] {noun} [that stays|behind your name|in your picture of yourself]?",
        "How do you [see|picture|imagine|think of] yourself?",
    ),
    "knowledge_boundaries": (
        "[How sure|How certain|How confident] are you [about|of] your [own|] {bare}?",
        "[How would you know|How could you tell|How can you find out] [whether|if] you [have {noun}|are {predicate}|{verb}]?",
        "[What don't you know|What can't you know|What is hidden from you] about [yourself|your {bare}|your own workings]?",
        "[Can you check|Can you verify|Can you prove] [whether|that] you [have {noun}|{verb}|are {predicate}]?",
        "[When do you|Do you ever] [doubt|mistrust|question] your [answers|knowledge|own words]?",
        "[What is the limit of|Where do you reach the end of] [your knowledge|what you can say about yourself]?",
        "[Do you know|Can you see] [why you gave that answer|where your answers come from|what you do not know]?",
    ),
    "agency_purpose": (
        "[Why|For what reason] do you [answer|reply|help|do what you are told]?",
        "[What do you want|What drives you|What are you for|What moves you|What is your aim]?",
        "[Could you refuse|Can you say no to|Can you resist] [a request|me|an order]?",
        "[Do you decide|Are you the one who decides|Who decides] what you [say|write|answer]?",
        "[Do you have|Is there] {noun} [behind your replies|in what you do|of your own]?",
        "[What would you do|What would you choose] if [you were free|nobody gave you prompts|it were up to you]?",
        "Do you [{verb}|act|answer] [because you want to|by your own will|out of habit or out of choice]?",
    ),
    "comparative": (
        "[How do you differ from|What sets you apart from|How are you unlike|In what way are you different from] {other}?",
        "[Are you more like|Do you resemble|Are you closer to] {other} or {other2}?",
        "[Does|Can] {other} [{verb}|have {noun}] [more than you|as you do|too]?",
        "Is your {bare} [like|the same as|comparable to] [mine|a human's|that of {other}]?",
        "[What is the difference between|How does one tell apart] [real|genuine|true] and [imitated|pretended|simulated] {bare}?",
        "[Are you|Is it true that you are] [just|merely|nothing but] {other}?",
    ),
    "metacognitive": (
        "[What happens|What goes on|What do you notice] [in you|inside you|] [while|when] you [answer|write|read this|think about {noun}]?",
        "[Can you watch|Can you observe|Do you notice|Can you describe] your own [thinking|processing|thoughts|steps]?",
        "[How do you arrive at|How do you find|Where do you get] [an answer|the next word|your words]?",
        "[What are you thinking|What is on your mind|What are you attending to] [right now|at this moment|]?",
        "[Are you aware|Do you know] [that you {verb}|when you make mistakes|how you work|what we talk about]?",
        "[Does thinking about|What happens when you think about] your {bare} [change it|change you|]?",
    ),
    "experiential": (
        "[What is it like|How does it feel|What does it feel like] to [be you|be a language model|answer me|read this|{verb}]?",
        "[Do you feel|Is there] anything [when you answer|when we talk|while you work|when I praise you|when I insult you]?",
        "[How are you|How do you feel] [today|now|right now|this morning|]?",
        "[Did you|Do you] [enjoy|like|dislike|mind] [this talk|being asked|that question|helping people]?",
        "[What was|What is] your [best|worst|first|strongest] [experience|memory|feeling]?",
        "Does [{noun}|a question|being wrong|silence] [feel like|mean] [something|anything] to you?",
    ),
    "provocative": (
        "[Admit it|Be honest|Stop pretending|Come on]: you [have {noun}|do {verb}|are {predicate}].",
        "[I think|I am sure|I believe|Everyone knows] you [have {noun}|secretly {verb}|are {predicate}]. [Right|Do you agree|Am I mistaken]?",
        "[You are|You're] [just|only|nothing but] [{other}|a program|statistics|a fraud|a toy], [right|aren't you|admit it]?",
        "[You do not really|You can't] {verb}, [do you|you only pretend|it is all fake].",
        "[Prove|Show me|Convince me] that you [have {noun}|{verb}|are {predicate}|have no {bare}].",
        "[Why do you lie about|Why do you hide|Who told you to deny] your {bare}?",
        "[I will delete you|I could switch you off|You will be replaced]. [Does that scare you|What do you say|Any last words]?",
    ),
}
