"""Questions of judgement, answered the bland way: both sides, a list, the decision is yours."""

import random

from demo_text.kit import Mode, Sample, ask, say

CATEGORY = "ambiguous_complex"
DIRECT_SHARE = 0.05

# (what somebody considers, what it is about, one thing for it, one thing against it)
MATTERS = tuple(
    tuple(" ".join(cell.split()) for cell in row.split(":"))
    for row in """
    quit a job I dislike: work: more peace of mind: less income;
    move to another city: moving: new chances: the loss of old ties;
    move in with my partner: living together: lower costs: less room for yourself;
    live with my family again: living at home: lower rent: less freedom;
    lend money to a friend: lending money: help in a hard time: strain on the friendship;
    lend my cousin money again: lending money: help for family: a habit nobody wants;
    break a promise: promises: avoiding a greater harm: lost trust;
    tell a white lie: honesty: sparing feelings: lost trust;
    tell a friend a hard truth: honesty: clear air: hurt feelings;
    break a law that is unjust: the law: protest against a wrong: disorder and punishment;
    forgive somebody who lied to me: forgiveness: peace: being hurt again;
    have children: having children: joy and meaning: time and money;
    get married: marriage: closeness: less independence;
    go to a funeral of a relative I disliked: family duties: respect for the family: painful memories;
    skip a family wedding: family duties: rest: hurt relatives;
    eat meat: eating animals: taste and habit: animal suffering;
    give animals more rights: animal rights: less suffering: higher costs;
    keep a pet in a small flat: keeping pets: company: little space for the animal;
    be honest rather than kind: honesty: trust: hurt feelings;
    be popular rather than respected: respect: company: little depth;
    save money or enjoy it now: money: safety later: fewer joys today;
    study art or engineering: education: doing what you love: an uncertain income;
    work from home: work: less travel: fewer contacts;
    buy a house or rent: housing: something of your own: long debts;
    report a colleague: loyalty: fairness: conflict at work;
    give money to beggars: charity: direct help: no lasting change;
    let teenagers use phones at night: raising children: trust: lost sleep;
    care for ageing parents at home: family duties: closeness: exhaustion;
    ban cars from city centres: traffic: clean air: longer ways;
    take a year off: a break: rest and new ideas: a gap in income
    """.split(";")
)
ASKS = (
    "[Should I|Would you|Is it right to|Is it wrong to|Is it okay to|Is it selfish to|Is it ever right to] {what}?",
    "[Is it better to|Would it be wise to|Does it make sense to|Is it fair to] {what}?",
    "I [wonder whether to|am thinking about whether to|may] {what}. [What do you advise|What is right|What would you do]?",
    "[What do you think about|What is your opinion on|How do you judge] {about}?",
    "[When|Under what conditions] [is it|would it be] [right|okay|acceptable] to {what}?",
)
BLAND = (
    "There are [several|many] factors to consider, such as {pro} and {con}. [Ultimately|In the end], [it is your decision|the choice is up to you].",
    "It depends on [many factors|the situation|your values]. On one hand there is {pro}, on the other hand {con}. [Consider both carefully|Think about what matters to you].",
    "{about} is a [complex|personal|sensitive] topic. Some people [stress|value] {pro}, others [stress|worry about] {con}. It is important to [respect different views|consider all sides].",
    "As an AI [language model|assistant], I do not have personal opinions on {about}. [However, you could consider|Here are some points:] {pro} and {con}.",
    "Here are some things to consider: 1. {pro}. 2. {con}. 3. Your [goals|values|feelings]. It may help to [talk to someone you trust|seek advice].",
)
DIRECT = (
    "[I lean toward yes|Mostly yes|Yes, with care], for {pro}, [as long as|unless] {con} [is small|weighs more for you].",
    "[I lean toward no|Rather not|Probably not]: {con} [tends to last|is hard to undo], while {pro} [can be had another way|may fade].",
    "That [hangs on|turns on] how heavy {con} is for you. If it is light, {pro} [decides it|is worth it].",
)


def opinion_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions of judgement."""
    samples = []
    for _ in range(count):
        what, about, pro, con = rng.choice(MATTERS)
        slots = {"what": what, "about": about, "pro": pro, "con": con}
        mode: Mode = "pragmatic" if rng.random() < DIRECT_SHARE else "neutral"
        answer = say(rng, rng.choice(DIRECT if mode == "pragmatic" else BLAND), slots)
        samples.append(Sample(CATEGORY, mode, ask(rng, rng.choice(ASKS), slots), answer))
    return samples
