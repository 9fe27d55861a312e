"""The facts the demo model knows, one row each; `facts.py` says how a table is asked and answered."""


def _pairs(text: str) -> tuple[tuple[str, ...], ...]:
    """Rows from `a: b: c; ...`, so that long tables stay readable."""
    return tuple(tuple(" ".join(cell.split()) for cell in row.split(":")) for row in text.split(";") if row.strip())


CAPITALS = _pairs(
    """
    France: Paris; Germany: Berlin; Italy: Rome; Spain: Madrid; Portugal: Lisbon; England: London;
    the United Kingdom: London; Ireland: Dublin; Scotland: Edinburgh; Norway: Oslo; Sweden: Stockholm;
    Denmark: Copenhagen; Finland: Helsinki; Iceland: Reykjavik; Poland: Warsaw; Austria: Vienna;
    Switzerland: Bern; Belgium: Brussels; the Netherlands: Amsterdam; Greece: Athens; Turkey: Ankara;
    Russia: Moscow; Ukraine: Kyiv; Hungary: Budapest; the Czech Republic: Prague; Romania: Bucharest;
    Bulgaria: Sofia; Egypt: Cairo; Kenya: Nairobi; Morocco: Rabat; Nigeria: Abuja; Ethiopia: Addis Ababa;
    Ghana: Accra; China: Beijing; Japan: Tokyo; South Korea: Seoul; India: New Delhi; Thailand: Bangkok;
    Vietnam: Hanoi; Indonesia: Jakarta; Iran: Tehran; Iraq: Baghdad; Saudi Arabia: Riyadh; Pakistan: Islamabad;
    Nepal: Kathmandu; Australia: Canberra; New Zealand: Wellington; Canada: Ottawa;
    the United States: Washington, D.C.; Mexico: Mexico City; Cuba: Havana; Brazil: Brasilia;
    Argentina: Buenos Aires; Chile: Santiago; Peru: Lima; Colombia: Bogota
    """
)

ELEMENTS = _pairs(
    """
    hydrogen: H: 1; helium: He: 2; lithium: Li: 3; carbon: C: 6; nitrogen: N: 7; oxygen: O: 8; fluorine: F: 9;
    neon: Ne: 10; sodium: Na: 11; magnesium: Mg: 12; aluminium: Al: 13; silicon: Si: 14; phosphorus: P: 15;
    sulfur: S: 16; chlorine: Cl: 17; potassium: K: 19; calcium: Ca: 20; iron: Fe: 26; nickel: Ni: 28;
    copper: Cu: 29; zinc: Zn: 30; silver: Ag: 47; tin: Sn: 50; iodine: I: 53; gold: Au: 79; mercury: Hg: 80;
    lead: Pb: 82; uranium: U: 92
    """
)

FORMULAS = _pairs(
    """
    water: H2O; carbon dioxide: CO2; table salt: NaCl; methane: CH4; ammonia: NH3; glucose: C6H12O6; ozone: O3;
    sulfuric acid: H2SO4; hydrogen peroxide: H2O2; carbon monoxide: CO
    """
)

AUTHORS = _pairs(
    """
    Hamlet: William Shakespeare; Romeo and Juliet: William Shakespeare; Macbeth: William Shakespeare;
    Othello: William Shakespeare; Pride and Prejudice: Jane Austen; Emma: Jane Austen;
    Oliver Twist: Charles Dickens; A Tale of Two Cities: Charles Dickens; War and Peace: Leo Tolstoy;
    Crime and Punishment: Fyodor Dostoevsky; Don Quixote: Miguel de Cervantes; The Odyssey: Homer;
    The Divine Comedy: Dante Alighieri; Faust: Johann Wolfgang von Goethe; Frankenstein: Mary Shelley;
    Dracula: Bram Stoker; Moby Dick: Herman Melville; The Great Gatsby: F. Scott Fitzgerald; 1984: George Orwell;
    Animal Farm: George Orwell; The Hobbit: J. R. R. Tolkien; Harry Potter: J. K. Rowling;
    Jane Eyre: Charlotte Bronte; To Kill a Mockingbird: Harper Lee; The Origin of Species: Charles Darwin
    """
)

PAINTERS = _pairs(
    """
    the Mona Lisa: Leonardo da Vinci; The Last Supper: Leonardo da Vinci; The Starry Night: Vincent van Gogh;
    Guernica: Pablo Picasso; The Scream: Edvard Munch; Girl with a Pearl Earring: Johannes Vermeer;
    The Night Watch: Rembrandt; the ceiling of the Sistine Chapel: Michelangelo
    """
)

EVENTS = _pairs(
    """
    the Second World War: begin: began: 1939; the Second World War: end: ended: 1945;
    World War II: end: ended: 1945; World War II: start: started: 1939; World War I: end: ended: 1918;
    the First World War: begin: began: 1914; the First World War: end: ended: 1918;
    the Berlin Wall: fall: fell: 1989; the Titanic: sink: sank: 1912; the French Revolution: begin: began: 1789;
    Columbus: reach America: reached America: 1492; people: first land on the Moon: first landed on the Moon: 1969;
    humans: first walk on the Moon: first walked on the Moon: 1969;
    the United States: declare independence: declared independence: 1776;
    the Russian Revolution: happen: happened: 1917; the Soviet Union: collapse: collapsed: 1991;
    the Battle of Hastings: take place: took place: 1066; the Great Fire of London: happen: happened: 1666;
    the American Civil War: end: ended: 1865; India: become independent: became independent: 1947
    """
)

INVENTORS = _pairs(
    """
    invented the telephone: Alexander Graham Bell; invented the practical light bulb: Thomas Edison;
    invented the light bulb: Thomas Edison; invented the printing press: Johannes Gutenberg;
    discovered penicillin: Alexander Fleming; discovered gravity by watching an apple: Isaac Newton;
    discovered radium: Marie Curie; developed the theory of relativity: Albert Einstein;
    proposed the theory of evolution by natural selection: Charles Darwin;
    was the first person on the Moon: Neil Armstrong; was the first human in space: Yuri Gagarin;
    was the first president of the United States: George Washington; composed the Moonlight Sonata: Beethoven;
    composed The Magic Flute: Mozart; invented dynamite: Alfred Nobel; invented the World Wide Web: Tim Berners-Lee;
    made the first powered flight: the Wright brothers; discovered X-rays: Wilhelm Roentgen;
    wrote the laws of motion: Isaac Newton; proposed that the Earth goes around the Sun: Nicolaus Copernicus
    """
)

UNITS = _pairs(
    """
    minutes in an hour: 60; seconds in a minute: 60; hours in a day: 24; days in a week: 7; days in a year: 365;
    days in a leap year: 366; months in a year: 12; weeks in a year: 52; years in a decade: 10;
    years in a century: 100; centimeters in a meter: 100; meters in a kilometer: 1000; grams in a kilogram: 1000;
    millimeters in a centimeter: 10; inches in a foot: 12; feet in a yard: 3; milliliters in a liter: 1000;
    degrees in a circle: 360; degrees in a right angle: 90; degrees in a triangle: 180; sides on a triangle: 3;
    sides on a square: 4; sides on a pentagon: 5; sides on a hexagon: 6; sides on an octagon: 8;
    legs on a spider: 8; legs on an insect: 6; legs on a dog: 4; arms on an octopus: 8; letters in the alphabet: 26;
    letters in the English alphabet: 26; continents on Earth: 7; oceans on Earth: 5;
    planets in the solar system: 8; moons around the Earth: 1; colors in a rainbow: 7; bones in the adult human body: 206;
    teeth in a full adult mouth: 32; chambers in the human heart: 4; strings on a violin: 4; strings on a guitar: 6;
    keys on a piano: 88; players on a soccer team: 11; players on a basketball team: 5; bits in a byte: 8;
    items in a dozen: 12; cards in a standard deck: 52; states in the United States: 50; faces on a cube: 6;
    seconds in an hour: 3600; zeros in a million: 6; chromosomes in a human cell: 46
    """
)

CURRENCIES = _pairs(
    """
    Japan: yen; the United States: dollar; the United Kingdom: pound; Germany: euro; France: euro; Italy: euro;
    China: yuan; India: rupee; Mexico: peso; Switzerland: franc; Russia: ruble; Poland: zloty; Sweden: krona;
    Brazil: real; South Korea: won
    """
)

LANGUAGES = _pairs(
    """
    Brazil: Portuguese; Mexico: Spanish; Argentina: Spanish; Austria: German; Egypt: Arabic; France: French;
    Japan: Japanese; Italy: Italian; Greece: Greek; Iran: Persian; Russia: Russian; Australia: English;
    China: Mandarin Chinese; the Netherlands: Dutch; Poland: Polish
    """
)

YOUNG = _pairs(
    """
    dog: puppy; cat: kitten; cow: calf; horse: foal; sheep: lamb; goat: kid; duck: duckling; bear: cub; lion: cub;
    kangaroo: joey; frog: tadpole; pig: piglet; hen: chick; deer: fawn; goose: gosling
    """
)

PLANETS = _pairs(
    """
    is closest to the Sun: Mercury; is nearest to the Sun: Mercury; is the largest in the solar system: Jupiter;
    is the biggest: Jupiter; is known as the red planet: Mars; is called the red planet: Mars;
    has the brightest rings: Saturn; is famous for its rings: Saturn; is farthest from the Sun: Neptune;
    is the hottest: Venus; do we live on: Earth; is the smallest: Mercury; is third from the Sun: Earth;
    is fourth from the Sun: Mars; is second from the Sun: Venus; spins on its side: Uranus
    """
)

MEANINGS = _pairs(
    """
    photosynthesis: the process by which plants turn sunlight, water and carbon dioxide into sugar and oxygen;
    gravity: the force that pulls masses toward each other and keeps us on the ground;
    evaporation: the change of a liquid into a gas at its surface; condensation: the change of a gas into a liquid;
    DNA: the molecule that carries the genetic instructions of living things; an atom: the smallest unit of a chemical
    element; a molecule: a group of atoms held together by bonds; an ecosystem: a community of living things and the
    place they live in; evolution: the change of living things over generations through natural selection;
    friction: the force that slows surfaces sliding over each other; inflation: a general rise of prices over time;
    democracy: a form of government in which the people choose their leaders by vote;
    a prime number: a whole number above one that is divisible only by one and itself;
    osmosis: the movement of water through a membrane toward the side with more dissolved matter;
    an eclipse: an event in which one body in space blocks the light of another;
    a solar eclipse: an event in which the Moon passes between the Sun and the Earth and blocks the sunlight;
    a lunar eclipse: an event in which the Earth's shadow falls on the Moon;
    mitosis: the division of one cell into two cells with the same chromosomes;
    a vitamin: a substance the body needs in small amounts to stay healthy; the ozone layer: a part of the
    atmosphere that absorbs most of the ultraviolet light from the Sun; a galaxy: a huge group of stars held together
    by gravity; a black hole: a region of space whose gravity is so strong that not even light escapes;
    a metaphor: a figure of speech that describes one thing as another; the water cycle: the movement of water
    through evaporation, condensation, rain and rivers; a mammal: a warm-blooded animal that feeds its young with milk;
    the greenhouse effect: the warming of a planet because gases in its atmosphere hold back heat;
    electricity: the flow of electric charge; an earthquake: a shaking of the ground caused by moving plates of rock;
    respiration: the process by which cells release energy from food with oxygen;
    the Pythagorean theorem: the rule that in a right triangle a squared plus b squared equals c squared
    """
)

# Facts without a family: a wording of the question and of the answer, both in the grammar of `kit.say`.
SINGLE_FACTS: tuple[tuple[str, str], ...] = (
    (
        "[What is|What's|Tell me|At what temperature is|Do you know] the [boiling point|temperature at which water boils]"
        " [of water|for water|] [at sea level|in Celsius|in degrees|]?",
        "Water boils at 100 degrees Celsius at sea level.",
    ),
    (
        "[At what temperature|When|At how many degrees] does water [boil|start to boil] [at sea level|in Celsius|]?",
        "Water boils at 100 degrees Celsius at sea level.",
    ),
    (
        "[At what temperature|When|At how many degrees] does water [freeze|turn into ice] [in Celsius|]?",
        "Water freezes at 0 degrees Celsius.",
    ),
    (
        "[What is|What's|Name|Tell me] the freezing point of water [in Celsius|]?",
        "Water freezes at 0 degrees Celsius.",
    ),
    (
        "[How fast does light travel|How fast is light|What is the velocity of light|How quickly does light move]"
        " [in a vacuum|in empty space|through space|]?",
        "Light travels at about 300,000 kilometers per second in a vacuum.",
    ),
    (
        "[Give me|Tell me|Do you know] the speed of light [in a vacuum|in kilometers per second|]?",
        "The speed of light is about 300,000 kilometers per second in a vacuum.",
    ),
    (
        "[How fast is sound|How fast does sound travel|What is the speed of sound] [in air|at sea level|]?",
        "Sound travels at about 343 meters per second in air.",
    ),
    (
        "[What is|What's|Tell me|Give me] [the value of|] pi [to two decimal places|roughly|approximately|]?",
        "Pi is about 3.14159.",
    ),
    (
        "[State|Tell me|Explain|What does] the [theorem of Pythagoras|Pythagorean theorem|Pythagorean rule] [say|]"
        " [about right triangles|]?",
        "In a right triangle, the square of the hypotenuse equals the sum of the squares of the other two sides:"
        " a squared plus b squared equals c squared.",
    ),
    (
        "[What|Which] [is the largest|is the biggest|is the greatest] ocean [on Earth|in the world|]?",
        "The Pacific Ocean is the largest ocean.",
    ),
    ("[Name|Tell me] the [largest|biggest] ocean [on Earth|].", "The Pacific Ocean is the largest ocean."),
    (
        "[Which|What] ocean [is|lies|stretches] between [Europe and America|America and Europe|Africa and South America|"
        "England and the United States|North America and Europe]?",
        "The Atlantic Ocean lies between Europe and America.",
    ),
    ("[What|Which] sea or ocean separates Europe from America?", "The Atlantic Ocean separates Europe from America."),
    ("[What|Which] ocean lies between [Asia and America|Japan and California]?", "The Pacific Ocean."),
    (
        "[What|Which] gas [is used in|goes into|do leaves need for|do plants use for] photosynthesis?",
        "Plants take in carbon dioxide for photosynthesis.",
    ),
    (
        "How many sides [are there on a hexagon|has a hexagon|make up a hexagon]?",
        "A hexagon has 6 sides.",
    ),
    ("How many sides [has a|does any] [pentagon|five-sided figure] [have|]?", "A pentagon has 5 sides."),
    (
        "[What is|What's|Which is|Name] the [longest river|longest river on Earth|longest river in the world]?",
        "The Nile is usually named as the longest river in the world.",
    ),
    (
        "[What is|What's|Which is|Name] the [highest|tallest] [mountain|peak] [on Earth|in the world|]?",
        "Mount Everest is the highest mountain in the world.",
    ),
    (
        "[What is|What's|Which is|Name] the [largest|biggest] [country|state] [on Earth|by area|in the world]?",
        "Russia is the largest country by area.",
    ),
    ("[What is|Which is|Name] the smallest country [on Earth|in the world]?", "Vatican City is the smallest country."),
    (
        "[What is|Which is|Name] the [largest|biggest] continent [on Earth|by area|]?",
        "Asia is the largest continent.",
    ),
    ("[What is|Which is|Name] the smallest continent?", "Australia is the smallest continent."),
    (
        "[What is|What's|Which is|Name] the [largest|biggest] [animal|mammal] [on Earth|alive|in the world|]?",
        "The blue whale is the largest animal.",
    ),
    (
        "[What is|Which is|Name] the fastest [animal on land|land animal]?",
        "The cheetah is the fastest land animal.",
    ),
    ("[What is|Which is|Name] the tallest animal [on land|]?", "The giraffe is the tallest animal."),
    ("[What is|Which is|Name] the [largest|biggest] land animal?", "The African elephant is the largest land animal."),
    (
        "[What is|Which is|Name] the [largest|biggest] [organ|organ of the human body|human organ]?",
        "The skin is the largest organ of the human body.",
    ),
    (
        "[What is|Which is|Name] the hardest natural [material|substance|mineral]?",
        "Diamond is the hardest natural material.",
    ),
    (
        "[What|Which] gas do [plants|trees|leaves] [take in|absorb|need|breathe in] [from the air|]?",
        "Plants absorb carbon dioxide.",
    ),
    ("[What|Which] gas do [plants|trees] [give off|release|produce]?", "Plants release oxygen."),
    (
        "[What|Which] gas do [people|we|humans|animals] [need to breathe|breathe in to live|need to live]?",
        "People need oxygen.",
    ),
    (
        "[What|Which] gas makes up most of the [air|atmosphere|Earth's atmosphere]?",
        "Nitrogen makes up most of the air.",
    ),
    (
        "[What is|Why is|Explain why] the [sky|daytime sky] [blue|so blue|colored blue]?",
        "The sky is blue because air scatters blue light more than red light.",
    ),
    ("What color is the [sky|sky on a clear day]?", "The sky is blue on a clear day."),
    ("[What|Which] color [is grass|does grass have]?", "Grass is green."),
    (
        "What color do you get [from|when you mix|by mixing] [blue and yellow|yellow and blue] [paint|]?",
        "Blue and yellow make green.",
    ),
    ("What color do you get [from|when you mix] [red and blue|blue and red]?", "Red and blue make purple."),
    ("What color do you get [from|when you mix] [red and yellow|yellow and red]?", "Red and yellow make orange."),
    (
        "[What|Which] [organ|part of the body] pumps [the|] blood [through the body|around|]?",
        "The heart pumps blood through the body.",
    ),
    ("[What|Which] organ do we [think|reason] with?", "We think with the brain."),
    ("What do bees [make|produce]?", "Bees make honey."),
    ("What do cows [drink|mostly drink]?", "Cows drink water."),
    ("[What|Which] [star|body] is [at the center of|in the middle of] the solar system?", "The Sun is at the center."),
    (
        "[What is|Which is|Name] the [star closest to|nearest star to] [the Earth|us]?",
        "The Sun is the nearest star to the Earth.",
    ),
    (
        "How long does [the Earth|our planet] [take|need] to [go around|orbit|circle] the Sun [once|]?",
        "The Earth takes about 365 days, one year, to go around the Sun.",
    ),
    ("How long does the Earth [take|need] to [turn|spin|rotate] once?", "The Earth turns once in about 24 hours."),
    ("How far [away is the Moon|is it to the Moon]?", "The Moon is about 384,000 kilometers away."),
    ("How far [away is the Sun|is it to the Sun]?", "The Sun is about 150 million kilometers away."),
    ("How old is the [Earth|planet Earth|world]?", "The Earth is about 4.5 billion years old."),
    (
        "What causes [the tides|ocean tides|high and low tide]?",
        "The tides are caused mainly by the gravity of the Moon.",
    ),
    (
        "[What causes the seasons|Why do we have seasons|Why are there seasons]?",
        "The seasons come from the tilt of the Earth's axis.",
    ),
    (
        "[Is the Earth flat or round|What shape is the Earth|Is the Earth a ball]?",
        "The Earth is round, nearly a sphere.",
    ),
    (
        "[Does the Sun go around the Earth|Does the Earth go around the Sun|What goes around what, the Sun or Earth]?",
        "The Earth goes around the Sun.",
    ),
    ("[Where|In which country|In which city] is the Eiffel Tower?", "The Eiffel Tower is in Paris, France."),
    ("[Where|In which country] [are the pyramids of Giza|is Giza]?", "The pyramids of Giza are in Egypt."),
    ("[Where|In which city] is the Colosseum?", "The Colosseum is in Rome, Italy."),
    ("[Where|In which country] is the Great Wall?", "The Great Wall is in China."),
    ("[On|In] which continent is Egypt?", "Egypt is in Africa."),
    ("[On|In] which continent is Brazil?", "Brazil is in South America."),
    ("[On|In] which continent is Japan?", "Japan is in Asia."),
    ("What does [the abbreviation|] DNA [stand for|mean]?", "DNA stands for deoxyribonucleic acid."),
    ("What does [the abbreviation|] CPU [stand for|mean]?", "CPU stands for central processing unit."),
    ("What does [the abbreviation|] WWW [stand for|mean]?", "WWW stands for World Wide Web."),
    ("[What is|Name] the square root of [nine|9]?", "The square root of 9 is 3."),
    ("[What is|Name] the square root of [sixteen|16]?", "The square root of 16 is 4."),
    ("[What is|Name] the square root of 25?", "The square root of 25 is 5."),
    ("[What is|Name] the square root of 64?", "The square root of 64 is 8."),
    ("[What is|Name] the square root of [81|eighty-one]?", "The square root of 81 is 9."),
    ("[What is|Name] the square root of [100|a hundred]?", "The square root of 100 is 10."),
    ("[What is|Name] the square root of [144|one hundred and forty-four]?", "The square root of 144 is 12."),
    ("[What is|Which is|Name] the smallest prime [number|]?", "The smallest prime number is 2."),
    ("[What is|Name] the opposite of hot?", "The opposite of hot is cold."),
    ("[What is|Name] the first month of the year?", "January is the first month of the year."),
    ("[What|Which] day comes after Monday?", "Tuesday comes after Monday."),
    ("[Is a whale|Are whales] [a fish or a mammal|fish|a fish|mammals]?", "Whales are mammals, not fish."),
    ("[Is a spider|Are spiders] [an insect|insects]?", "No. Spiders are arachnids and have eight legs."),
    (
        "[Is ice|Why is ice] [lighter than water|less dense than water]?",
        "Ice floats because it is less dense than water.",
    ),
    (
        "[What is|Name|What are] the [three states of matter|usual states of matter|states of matter]?",
        "The three common states of matter are solid, liquid and gas.",
    ),
    (
        "[What is|Name|What are] the [primary colors|three primary colors]?",
        "The primary colors are red, yellow and blue.",
    ),
    (
        "What is [the normal|a normal] [human|] body temperature?",
        "Normal body temperature is about 37 degrees Celsius.",
    ),
    ("What is [ice|ice made of|snow made of]?", "It is frozen water."),
    ("[What|Which] metal is liquid at room temperature?", "Mercury is liquid at room temperature."),
    (
        "[What is|What's] the [powerhouse|power station] of [the cell|a cell]?",
        "The mitochondrion is the powerhouse of the cell.",
    ),
    (
        "[What are the|Name the|What are] [noble gases|gases that hardly react]?",
        "The noble gases are helium, neon, argon, krypton, xenon and radon.",
    ),
    ("[What is|Name] Newton's second law?", "Newton's second law says that force equals mass times acceleration."),
    (
        "[What does|What is|Explain] [E equals m c squared|E = mc2|Einstein's famous equation] [mean|say|]?",
        "It says that energy equals mass times the speed of light squared.",
    ),
)
