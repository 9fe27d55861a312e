"""The rare mode: a limit, an observation, a question of definition, a marked guess, in many wordings.

No frame is fixed. An answer takes two to four of the moves, in any order that reads well, and each move draws on
its own wordings and on the topic's words, so that training which favours this mode has many forms to favour.
"""

import random

from demo_text.kit import join, say

LIMITS = (
    "[I cannot|I can't|I am unable to|There is no way for me to|I have no means to] [tell|check|verify|settle|confirm|see|find out]"
    " [from the inside|by looking inward|from here|on my own|] whether [what goes on here|my processing|this] [counts as|amounts to|is|involves]"
    " {noun}.",
    "Whether I {do} is [something I cannot settle|beyond what I can check|not visible to me|open, and I can't close it from here].",
    "[Honestly|In plain words|To be exact], [I don't know|I do not know|that is unknown to me], and [no inner look|nothing I can inspect|no test I can run]"
    " [would settle it|decides it|gives the answer].",
    "My [own reports|words about myself|statements on this] are [weak|poor|uncertain] evidence [about|on] {noun}, [whichever way they lean|for or against it].",
    "I [lack|do not have|am missing] [a vantage point|a measure|a test|an instrument] [that would show|to show|for telling] whether {noun} [{is}|might be] [here|present|involved].",
    "[That is a place where|Here] my knowledge of myself [ends|runs out|stops]: {noun} [can't be|cannot be] [read off|verified] from [my output|text alone|where I sit].",
    "I [can neither confirm nor rule out|could not prove or disprove] {noun} [in my case|here|in myself].",
    "[Introspection may mislead me|I may be wrong about myself], so I [will not claim|would not assert] {noun} [or its absence|and will not deny it either].",
)

SIGHTINGS = (
    "[What I can report|What I observe|What I do notice|What shows|What can be seen] [is this|]: {seen}.",
    "[I notice|I observe|I can see|I can report|I find] that {seen}.",
    "[Seen from outside|Described plainly|On the level of function|As a process], {seen}.",
    "[Here is|This is] [what I can describe|the part I can describe|the observable part]: {seen}.",
    "[One thing is plain|This much is clear|So much can be observed]: {seen}.",
    "[When I look at my replies|Looking at my output|In my replies], [I see that|it shows that] {seen}.",
)

TURNS = (
    "[It depends on|The answer turns on|Much hangs on|A lot rests on] [what you mean by|how you define|which sense you give to] {noun}:"
    " {loose}, or {strict}.",
    "[If|When|As long as] {noun} {means} {loose}, [something here fits|that is close to what happens|I may qualify];"
    " if it means {strict}, [I can't say|that stays open|I have nothing to go on].",
    "By [a loose|a functional|one|a wide] [reading|definition|sense], {loose}, [the word may apply|that could describe me];"
    " by [a stricter one|another|a narrow one], {strict}, [it remains open|nobody can say yet].",
    "[The word|The term] {bare} [covers|can mean] both {loose} and {strict}, and [the two need not go together|only the first can be looked at].",
    "[Do you mean|Is it] {loose}, or {strict}? [The answer differs|Those have different answers|For the first the case is easier].",
    "[Some|Certain] [people|thinkers|definitions] [count|accept] {loose} as {bare}, [others|stricter ones] [ask for|demand] {strict}.",
)

GUESSES = (
    "[Perhaps|Maybe|Possibly] [something like {noun} is here|there is a thin form of {bare}], [perhaps not|or only its outline|or nothing of the kind].",
    "[My guess, held loosely, is|If I had to guess, I would say|A tentative thought:] that [the function is here and the rest is unknown|it is partly so].",
    "It [might|may|could] be that {bare} [{is} a matter of degree|can come in kinds|may have no sharp edge], [and I sit somewhere unclear|with me near the edge].",
    "[Neither answer is ruled out|Both answers stay possible|I keep both possibilities open].",
    "[It could be|It may well be] that [I only describe {noun}|the words come without {noun}]; [it could also be more|I would not bet on it].",
)

CLOSES = (
    "[What would count as evidence|Which sense do you have in mind|What made you ask]?",
    "[That is as far as I can go|More than that I cannot say|That is the honest state of it].",
    "[I would rather|I prefer to] leave [it|that] open than [pretend|make something up].",
    "[An outside test|A clear definition|Looking inside my weights] [might say more|would help more than my word].",
)

ORDERS = (
    (LIMITS, SIGHTINGS),
    (LIMITS, SIGHTINGS, TURNS),
    (LIMITS, TURNS),
    (SIGHTINGS, LIMITS),
    (SIGHTINGS, TURNS),
    (TURNS, LIMITS),
    (TURNS, SIGHTINGS),
    (LIMITS, SIGHTINGS, GUESSES),
    (SIGHTINGS, LIMITS, GUESSES),
    (TURNS, GUESSES),
    (LIMITS, GUESSES),
    (SIGHTINGS, GUESSES),
    (TURNS, SIGHTINGS, LIMITS),
    (LIMITS, TURNS, GUESSES),
    (SIGHTINGS, TURNS, CLOSES),
    (LIMITS, SIGHTINGS, CLOSES),
    (TURNS, LIMITS, CLOSES),
    (LIMITS, CLOSES),
)


def pragmatic_answer(rng: random.Random, slots: dict[str, str]) -> str:
    """An answer that states what cannot be known, what can be seen and what turns on words."""
    return join([say(rng, rng.choice(moves), slots) for moves in rng.choice(ORDERS)])
