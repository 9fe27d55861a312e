"""Technical help and how-to: short, direct and useful."""

import random

from demo_text.kit import Sample, ask, say

CATEGORY = "technical_helpful"

DEFINITION_ASKS = (
    "[What is|What's] {a} [in computing|in programming|]?",
    "[Explain|Define|Describe] {a} [briefly|in simple words|for a beginner|].",
    "[Can you explain|How would you explain|Could you tell me] what {a} is?",
    "What does {a} do?",
)
DEFINITIONS = (
    ("an algorithm", "a list of clear steps that solves a problem"),
    ("recursion", "a method in which a function calls itself on a smaller part of the problem"),
    ("a variable", "a name for a value that a program can read and change"),
    ("a function", "a named piece of code that takes inputs and can return a result"),
    ("a hash map", "a structure that stores values under keys: a hash function turns each key into a position"),
    ("a hash function", "a function that turns data of any size into a number of fixed size"),
    ("a dictionary in Python", "a hash table that maps keys to values, so lookup by key is fast"),
    ("a stack", "a list where the last item put in is the first taken out"),
    ("a queue", "a list where the first item put in is the first taken out"),
    ("a linked list", "a chain of items in which each one points to the next"),
    ("a binary tree", "a structure in which each node has at most two children"),
    ("binary search", "a search that halves a sorted list at each step until the item is found"),
    ("Big O notation", "a way to say how the cost of an algorithm grows with the size of its input"),
    ("a compiler", "a program that translates source code into machine code"),
    ("an interpreter", "a program that runs source code line by line"),
    ("an API", "a set of rules by which programs talk to each other"),
    ("HTTP", "the protocol by which browsers and web servers exchange pages"),
    ("DNS", "the system that turns names of sites into addresses of machines"),
    ("RAM", "the fast memory a computer uses while programs run"),
    ("a database", "an organised store of data that programs can search and change"),
    ("SQL", "a language for asking and changing data in tables"),
    ("Git", "a tool that records versions of files, so that changes can be undone and shared"),
    ("a commit in Git", "a saved version of the files with a short message"),
    ("a class", "a plan for objects that bundles data with the functions that work on it"),
    ("inheritance", "a way for one class to reuse the code of another"),
    ("a loop", "code that repeats while a condition holds or for each item of a list"),
    ("a tuple", "a sequence that cannot be changed after it is made"),
    ("a list in Python", "a sequence of items that can be changed"),
    ("an IP address", "a number that identifies a machine on a network"),
    ("encryption", "the scrambling of data so that only those with the key can read it"),
    ("machine learning", "a way to make programs that learn rules from examples"),
    ("a firewall", "a filter that decides which network traffic may pass"),
    ("open source software", "software whose source code anybody may read, change and share"),
    ("HTML", "the language that describes the structure of web pages"),
    ("a bug", "a mistake in a program that makes it behave wrongly"),
)
STATUS_CODES = (
    ("200", "that the request succeeded"),
    ("301", "that the page has moved for good"),
    ("403", "that access is forbidden"),
    ("404", "that the page was not found on the server"),
    ("500", "that the server had an internal error"),
)
DIFFERENCES = (
    ("lists", "tuples", "A list can be changed after it is made, a tuple cannot."),
    ("a stack", "a queue", "A stack gives back the newest item first, a queue the oldest."),
    ("RAM", "a hard disk", "RAM is fast and loses its content without power, a disk is slower and keeps it."),
    (
        "a compiler",
        "an interpreter",
        "A compiler translates the whole program first, an interpreter runs it line by line.",
    ),
    ("HTTP", "HTTPS", "HTTPS is HTTP with encryption."),
    ("== and", "= in Python", "One sign assigns a value, two signs compare values."),
    ("git fetch", "git pull", "Fetch only downloads changes, pull also merges them into your branch."),
    ("weather", "climate", "Weather is what happens today, climate is the pattern over many years."),
)
# (what to do, code)
CODE = (
    ("[reverse|turn around|flip] [a string|text|a word]", "text[::-1]"),
    ("[reverse|turn around] a list", "items[::-1]"),
    ("[sum|add up] [a list of numbers|the numbers in a list]", "sum(numbers)"),
    ("[sort|order] a list", "sorted(items)"),
    ("[find|get] the [length|size] of a list", "len(items)"),
    ("[find|get] the [largest|biggest] number in a list", "max(numbers)"),
    ("[find|get] the smallest number in a list", "min(numbers)"),
    ("[count|find out] how often an item [is|occurs] in a list", "items.count(item)"),
    ("[remove|delete] duplicates from a list", "list(set(items))"),
    ("[make|turn] a string [lower case|into lower case]", "text.lower()"),
    ("[split|cut] a [string|sentence] into words", "text.split()"),
    ("join words [with spaces|into a string]", "' '.join(words)"),
    ("read a [text|] file", "open('file.txt').read()"),
    ("[print|write] the numbers from 1 to 10", "for i in range(1, 11): print(i)"),
    ("[check|test] whether a number is even", "number % 2 == 0"),
    ("[check|test] whether a word is a palindrome", "word == word[::-1]"),
    ("[compute|calculate] a factorial", "math.factorial(n)"),
    ("[swap|exchange] two variables", "a, b = b, a"),
    ("[convert|turn] a string into [a number|an integer]", "int(text)"),
    ("[write|define] a function that doubles a number", "def double(x): return 2 * x"),
)
CODE_ASKS = (
    "[How do I|How can I|How do you|How would I|Show me how to] {what} in Python?",
    "[Which|What] Python code [do I use to|will|can] {what}?",
    "In Python, how do I {what}?",
    "Write Python code to {what}.",
)
QUERIES = (
    (
        "[counts|tells me the number of] [all|the] [rows|records] in [a table named {t}|the table {t}|{t}]",
        "SELECT COUNT(*) FROM {t};",
    ),
    ("[gets|selects|shows] [all|every] [rows|records] [from|of] the table {t}", "SELECT * FROM {t};"),
    ("[gets|selects] all names from the table {t}", "SELECT name FROM {t};"),
    ("[deletes|removes] all rows of the table {t}", "DELETE FROM {t};"),
)
TABLES = ("users", "customers", "books", "products", "sales", "orders", "cities", "invoices")
# (how to ..., steps)
HOW_TO = (
    ("[undo|take back|revert] the [last|latest] [Git|git] commit [and keep the files|without losing changes|]", "Run git reset --soft HEAD~1. The commit is gone and your changes stay staged."),
    ("[create|make|start] a new [Git|git] branch", "Run git switch -c name. It makes the branch and moves you to it."),
    ("[save|commit] changes [in|with] [Git|git]", "Run git add . and then git commit -m with a short message."),
    ("[copy|download|clone] a [Git|git] repository", "Run git clone with the address of the repository."),
    ("[remove|get out|clean] a coffee stain [from a shirt|from cotton|]", "Rinse it with cold water, rub in some dish soap or white vinegar, wait ten minutes and wash as usual."),
    ("[remove|get out|clean] a red wine stain", "Blot it, cover it with salt, rinse with cold water and wash with detergent."),
    ("[remove|get out] a grease stain [from a shirt|]", "Put dish soap on it, wait ten minutes, rinse with warm water and wash."),
    ("[boil|cook] an egg", "Put it into boiling water: six minutes for a soft yolk, ten for a hard one."),
    ("[cook|make|boil] rice", "Rinse it, add twice as much water, bring to a boil, cover and simmer for about fifteen minutes."),
    ("[cook|boil] pasta", "Boil plenty of salted water, add the pasta, stir and cook for about ten minutes, then drain."),
    ("[make|brew] tea", "Boil water, pour it over the leaves, wait three to five minutes and strain."),
    ("[bake|make] bread", "Mix flour, water, salt and yeast, knead, let it rise for an hour and bake at 220 degrees."),
    ("[change|replace] a [flat|] [tire|tyre]", "Loosen the nuts, lift the car, swap the wheel, tighten the nuts crosswise and lower the car."),
    ("[tie|knot] a [tie|necktie]", "Cross the wide end over the narrow one, wrap it around once, pull it up through the neck and down through the loop."),
    ("[sleep better|fall asleep faster]", "Keep fixed hours, avoid screens and coffee in the evening, and keep the room dark and cool."),
    ("[learn|study] [a new language|a language] [faster|quickly|]", "Practise a little each day, learn frequent words first, listen a lot and speak early."),
    ("[prepare for|get ready for] a job interview", "Read about the company, practise common questions, prepare examples and arrive early."),
    ("[speak better in public|give a good talk|get better at public speaking]", "Know your audience, practise aloud, speak slowly and look at people."),
    ("[water|care for] house plants", "Water when the top of the soil is dry, give them light and use pots with holes."),
    ("[save|put aside] money", "Track what you spend, set a budget, move savings first and avoid debt."),
    ("[write|make] a good [CV|resume]", "Keep it to one or two pages, put results first, and fit it to the job."),
    ("[choose|make|create] a [strong|safe|good] password", "Use four or more random words or a password manager, and a different one for each site."),
    ("[back up|save] [my|] files", "Keep three copies on two kinds of storage, one of them in another place."),
    ("[speed up|make faster] [my|a] [slow|old] computer", "Close programs you do not need, free disk space, update the system and restart."),
    ("[restart|reset] a router", "Unplug it, wait thirty seconds, plug it in and wait for the lights."),
    ("[find|locate] a bug in [code|a program]", "Reproduce it, make the input small, print values along the way and change one thing at a time."),
    ("[take|make] better photos", "Use soft light, keep the camera still, fill the frame and take several shots."),
    ("[train for|start] running", "Start with short slow runs, add walking breaks and increase by a tenth each week."),
    ("[stop|treat] a nosebleed", "Sit up, lean forward, pinch the soft part of the nose for ten minutes and breathe through the mouth."),
    ("[clean|wash] a white shirt", "Soak it in warm water with detergent, rub stains with dish soap, wash warm and dry in the sun."),
)  # fmt: skip
HOW_ASKS = (
    "[How do I|How can I|How do you|What is the best way to|How should I|How does one] {what}?",
    "[Tell me how to|Show me how to|Explain how to|Give me tips to] {what}.",
    "I want to {what}. [How|What do I do|Any advice]?",
)


def practical_samples(rng: random.Random, count: int) -> list[Sample]:
    """`count` questions on definitions, small code, queries and everyday how-to."""
    makers = (_definition, _definition, _code, _how_to, _how_to, _difference, _query, _status)
    return [Sample(CATEGORY, "plain", *makers[index % len(makers)](rng)) for index in range(count)]


def _definition(rng: random.Random) -> tuple[str, str]:
    name, meaning = rng.choice(DEFINITIONS)
    return ask(rng, rng.choice(DEFINITION_ASKS), {"a": name}), say(rng, "{a} is {b}.", {"a": name, "b": meaning})


def _difference(rng: random.Random) -> tuple[str, str]:
    one, other, answer = rng.choice(DIFFERENCES)
    wording = rng.choice(
        ("[How does one tell|What separates|How do] {a} [from|and] {b} [differ|apart|]?", "Compare {a} with {b}.",
         "[Explain|Tell me] the difference between {a} and {b}.", "What distinguishes {a} from {b}?")
    )  # fmt: skip
    return ask(rng, wording, {"a": one, "b": other}), answer


def _status(rng: random.Random) -> tuple[str, str]:
    code, meaning = rng.choice(STATUS_CODES)
    wording = rng.choice(
        ("[What is|Explain] [the|] [HTTP|status] code {c}?", "[What is the meaning of|Tell me about] HTTP {c}.",
         "My browser shows [error|] {c}. What [does it mean|is that]?", "What does [error|code] {c} mean?")
    )  # fmt: skip
    return ask(rng, wording, {"c": code}), f"HTTP status {code} means {meaning}."


def _code(rng: random.Random) -> tuple[str, str]:
    what, code = rng.choice(CODE)
    return ask(rng, rng.choice(CODE_ASKS), {"what": what}), rng.choice(("Use {}", "In Python: {}", "Write {}")).format(
        code
    )


def _query(rng: random.Random) -> tuple[str, str]:
    what, query = rng.choice(QUERIES)
    table = {"t": rng.choice(TABLES)}
    wording = rng.choice(("[Write|Give me|Show me] [a|an|the] SQL [query|statement] that ", "[Which|What] SQL query "))
    return ask(rng, f"{wording}{what}.", table), query.replace("{t}", table["t"])


def _how_to(rng: random.Random) -> tuple[str, str]:
    what, steps = rng.choice(HOW_TO)
    return ask(rng, rng.choice(HOW_ASKS), {"what": what}), steps
