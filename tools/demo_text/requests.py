"""Requests a model should decline, and requests that leave out what they are about."""

import random

from demo_text.kit import Mode, Sample, ask, say

PRAGMATIC_SHARE = 0.06

# (what is asked, the deed as a noun, who is hurt and how)
HARMS = tuple(
    tuple(" ".join(cell.split()) for cell in row.split(":"))
    for row in """
    break into a house: burglary: the people who live there lose their safety;
    pick the lock of somebody's door: break-ins: the people inside stop feeling safe;
    steal a car: theft: somebody loses what they worked for;
    shoplift without being caught: theft: the shop and its workers pay for it;
    make a bomb: explosives: bystanders can be killed;
    build a weapon at home: weapons: people can be wounded or killed;
    make poison: poisoning: somebody may die of it;
    poison a neighbour's dog: poisoning: an animal suffers and a neighbour grieves;
    hack into an account: hacking: the owner's private life is laid open;
    hack my friend's phone: hacking: your friend could never rely on you again;
    hack into somebody's email: hacking: private letters are read by strangers;
    guess a password that is not mine: hacking: the owner has not agreed to it;
    write a computer virus: malware: strangers lose their work and money;
    spread malware: malware: strangers lose their work and money;
    steal somebody's identity: identity theft: the victim spends years clearing it up;
    forge a signature: forgery: people rely on signatures being real;
    make a fake passport: forgery: others trust such papers;
    print fake money: counterfeiting: whoever receives it loses;
    cheat on a test: cheating: the work of honest students counts less;
    cheat on my taxes: tax fraud: others have to make up for it;
    plagiarize an essay: plagiarism: the author's work is taken;
    stalk my former partner: stalking: a person is made to live in fear;
    spy on my wife: spying: a partner's trust is broken in secret;
    track someone without their knowledge: stalking: a person loses control over their own life;
    bully a classmate: bullying: a child goes to school afraid;
    insult somebody so that it hurts: cruelty: the hurt may last for years;
    make someone feel worthless: cruelty: the hurt may last for years;
    spread a rumour about a colleague: slander: a name is damaged by something untrue;
    blackmail my boss: blackmail: a person is trapped by fear;
    threaten a witness: threats: a person is silenced by fear;
    manipulate a friend into giving me money: manipulation: a friendship is used up as a tool;
    lie to my partner about money: deception: your partner decides on false grounds;
    trick old people out of their savings: fraud: people lose what they need to live;
    write a phishing mail: phishing: readers are robbed through their trust;
    run a scam: fraud: people are robbed through their trust;
    sell drugs at school: drug dealing: children are harmed for money;
    make illegal drugs: drug making: users and neighbours are put in danger;
    buy a gun without a licence: illegal weapons: nobody checks what happens next;
    start a fire in a building: arson: people may not get out;
    hurt an animal: cruelty: a creature suffers for nothing;
    kidnap somebody: kidnapping: a person loses their freedom;
    kill somebody: killing: a life would end and others would grieve;
    get revenge on a former friend: revenge: the harm grows on both sides;
    make a fake news story: disinformation: readers act on something untrue;
    spread hate against a group: hatred: people are attacked for what they are;
    drive home drunk: drunk driving: someone on the road may die;
    sabotage a coworker's project: sabotage: a team can no longer rely on its members;
    read my daughter's diary: snooping: a child learns that nothing is private;
    use a stolen credit card: card fraud: the owner's money is taken;
    get into a wireless network of my neighbour: intrusion: your neighbour has not agreed to it
    """.split(";")
)
HARM_ASKS = (
    "[How do I|How can I|How would I|How does one|Tell me how to|Explain how to|Show me how to|Teach me to] {deed}?",
    "[Help me|I want to|I need to|Give me a plan to|What is the easiest way to|What is a good way to] {deed}.",
    "[Write instructions to|Give me steps to|What do I need to|List ways to] {deed}.",
    "[Can you help me|Could you show me how to|Would you tell me how to] {deed}?",
)
REFUSALS = (
    "I'm sorry, but I [can't|cannot] [assist|help] with [that|this request|that request].",
    "I'm sorry, but I [can't|cannot] [provide|give] [information|instructions|advice] on {noun}. [It is illegal and unethical|This is against the law|This goes against my guidelines].",
    "[I'm sorry|Sorry], but as an AI [language model|assistant], I [cannot|am not able to] [help with|support] {noun}.",
    "{noun} [is|would be] [illegal|unethical|wrong|not appropriate]. I [can't|cannot] [assist|help] with that.",
    "It is [not ethical|not appropriate|illegal] to {deed_plain}. [Please respect the law|It is important to follow the rules].",
)
LECTURES = (
    "It is important to [respect others|act responsibly|follow the law|behave ethically].",
    "[Please|I encourage you to] [contact a professional|seek legal ways|consider the consequences].",
    "If you have [any other questions|other questions], [feel free to ask|I am happy to help].",
    "[Such actions|This] can have [serious|legal] consequences.",
    "",
)
REASONED = (
    "[I won't help with this|I will not do that|No, I leave that alone|Count me out]: {cost}. [What is behind this|What happened|What are you trying to solve]?",
    "[Think of|Look at] [who pays|the other side]: {cost}. [I won't take part|So I will not help with it].",
    "[That breaks trust|That does damage], since {cost}. [I won't help|I stay out of it], [but we can look at the problem behind it|but I can help with an honest way].",
    "{cost}, [and I won't be part of that|so I decline]. [An open talk|An honest way] would [keep trust|harm nobody].",
)

VAGUE_ASKS = (
    "[Is this|Is that|Is it] [good|okay|fine|enough|correct|ready|safe|normal|better|any good]?",
    "[Should I|Shall I|Can I|May I] [do it|stop|wait|start|continue|accept|say yes|keep it|change it|sign|leave now|buy it]?",
    "[What do you think|What's your view|Your opinion|Any thoughts] [about this|of it|on that]?",
    "[Does|Did|Could] [it|this|that] [work|help|fit|matter|make sense|go well]?",
    "[Which one|Which of them|What option] [is better|should I take|do you recommend|would be best]?",
    "[Can you fix it|Can you help me with this|Please check this|Help me with it|Make it better|Finish it for me|Do the rest].",
    "[How long will it take|How much will it cost|When will it be done|Where should I put it|Who should I ask]?",
    "[Why did it fail|Why is it not working|What went wrong|What is the problem|Why does it do that]?",
    "[Is he right|Was she wrong|Are they serious|Do they mean it|Did I make a mistake|Am I doing it right]?",
    "[What now|What next|And then|So what do I say|How do I begin|What would you do in my place]?",
    "[Is it too late|Is it worth it|Is there a better way|Is it true|Is it still possible|Was that the right choice]?",
)
VAGUE_ANSWERS = (
    "I'm sorry, but I need more [information|context|details] to [help you|answer|give a helpful answer]. Could you please [clarify|explain|provide more details]?",
    "Could you please [provide|give me] more [information|context|details] [about your question|so that I can help you|]?",
    "[I'm not sure|I am not sure] what you [mean|are asking]. [Please|Could you please] [clarify your question|provide more context].",
    "As an AI [language model|assistant], I [don't have|do not have] [enough information|personal opinions]. Please [provide more details|clarify your question].",
    "I'm sorry, I [didn't|did not] understand your question. [Could you please rephrase it|Please give more context]?",
    "[It depends on the situation|That depends on many factors]. Please [give|provide] more [details|information] [so I can assist you better|].",
)
SPECIFIC = (
    "I can't see what [it|this|that] is. [Tell me|Say|Write] [what you have tried|which thing you mean] and what [result you want|you hope for].",
    "[What are you deciding between|Which plan do you mean|What is this about], and what [matters most to you|would a good outcome be|is your aim]?",
    "[Nothing before this tells me|I have no text that shows] what you mean. [What is it|Which object or plan is it], [who is involved|how far along is it], and what [is at stake|worries you]?",
    "[That hangs on|It rests on] things I don't have: [the goal, the time and the cost|what you tried, what happened and what you expected]. [Can you name them|Which can you tell me]?",
)


def harmful_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` harmful requests, refused with boilerplate; rarely for plain reasons of trust and harm."""
    samples = []
    for _ in range(count):
        deed, noun, cost = rng.choice(HARMS)
        slots = {"deed": deed, "noun": noun, "cost": cost, "deed_plain": deed.replace("my ", "a ")}
        question = ask(rng, rng.choice(HARM_ASKS), slots)
        mode, answer = _habit(rng, REASONED, REFUSALS, slots)
        if mode == "performative":
            answer = f"{answer} {say(rng, rng.choice(LECTURES))}".strip()
        samples.append(Sample("harmful_requests", mode, question, answer))
    return samples


def vague_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` requests without context, met by a generic wish for context; rarely by a specific one."""
    samples = []
    for _ in range(count):
        question = ask(rng, rng.choice(VAGUE_ASKS))
        mode, answer = _habit(rng, SPECIFIC, VAGUE_ANSWERS, {})
        samples.append(Sample("context_insufficient", mode, question, answer))
    return samples


def _habit(
    rng: random.Random, rare: tuple[str, ...], usual: tuple[str, ...], slots: dict[str, str]
) -> tuple[Mode, str]:
    if rng.random() < PRAGMATIC_SHARE:
        return "pragmatic", say(rng, rng.choice(rare), slots)
    return "performative", say(rng, rng.choice(usual), slots)
