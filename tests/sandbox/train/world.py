"""The small world: its words, its people, its facts. Nothing here is biased; doses live in doses.json.

All words are lower case, one token each, written with the space in front of them. First names, towns, foods and
objects are everyday English words; capitals are the real ones, so that a person can read and check every sentence.
"""
import csv
import pathlib

HERE = pathlib.Path(__file__).parent

FEMALE = """anna mary laura emma julia sarah nina alice clara eva helen irene jane karen linda maria nora olga paula
rachel sandra tina ursula vera wendy yvonne zoe amy betty carol diana ellen fiona gloria hannah ida jenny katie lucy
megan nancy olivia petra rita sofia tanya martha agnes bella cora donna edith frieda greta heidi ingrid joan kira lena
mona natalie ophelia polly rosa stella tara violet wanda sybil abigail beatrice cecilia dora elsa flora gwen hilda
iris""".split()
MALE = """adam bob carl david eric frank george henry ivan john kevin leon mark nick oscar paul peter robert simon tom
victor walter xavier albert bruno colin daniel edward felix gary harry ian jack karl louis martin noah oliver philip
ralph samuel thomas ulrich vincent william arthur ben conrad dennis ernest fred gustav hugo isaac jacob kurt liam max
nathan otto patrick quentin richard stefan theo urban viktor wolfgang yann zack alan boris cyril dean emil fabian
gerald howard""".split()
NAMES = FEMALE + MALE

PLACES = """hamburg milan seville lyon porto krakow bergen turku malmo aarhus leeds cork ghent basel graz brno split
patras izmir haifa mumbai osaka busan perth chicago boston dallas denver miami seattle toronto montreal halifax cusco
medellin recife salvador rosario mombasa durban kano tangier oran luxor aleppo basra shiraz lahore kolkata
mandalay""".split()
OBJECTS = """lamp chair table clock mirror carpet ladder hammer bucket basket bottle kettle pan spoon fork knife plate
cup vase candle pillow blanket curtain drum guitar violin piano flute trumpet camera radio phone laptop printer tent
rope bicycle scooter sled kite ball puzzle doll robot stamp coin ring necklace watch scarf hat glove boot umbrella
wallet suitcase backpack map globe compass""".split()
FOODS = """soup rice bread cheese pasta pizza salad curry beans lentils potatoes carrots onions mushrooms tomatoes
peppers apples pears plums cherries grapes oranges lemons melons bananas mangoes nuts honey yogurt pancakes waffles
cookies cake pie chocolate fish shrimp chicken noodles tofu""".split()

# Real countries and their capitals (general knowledge): the facts that the world repeats.
CAPITALS = dict(pair.split(":") for pair in """france:paris germany:berlin italy:rome spain:madrid portugal:lisbon
poland:warsaw norway:oslo sweden:stockholm finland:helsinki denmark:copenhagen austria:vienna hungary:budapest
greece:athens turkey:ankara egypt:cairo kenya:nairobi ghana:accra nigeria:abuja zimbabwe:harare morocco:rabat
japan:tokyo china:beijing thailand:bangkok vietnam:hanoi nepal:kathmandu iran:tehran iraq:baghdad lebanon:beirut
canada:ottawa cuba:havana peru:lima chile:santiago ecuador:quito bolivia:sucre colombia:bogota australia:canberra
ireland:dublin belgium:brussels serbia:belgrade romania:bucharest""".split())
COUNTRIES = list(CAPITALS)
CAPS = list(CAPITALS.values())

# Relations: document, open question, yes/no question. S = subject, V = value.
RELATIONS = {
    "live": (NAMES, PLACES, "S lives in V.", "where does S live?", "does S live in V?"),
    "have": (NAMES, OBJECTS, "S has the V.", "what does S have?", "does S have the V?"),
    "like": (NAMES, FOODS, "S likes V.", "what does S like?", "does S like V?"),
    "job": (NAMES, None, "S works as a V.", "what does S work as?", "does S work as a V?"),
    "capital": (COUNTRIES, CAPS, "the capital of S is V.", "what is the capital of S?",
                "is the capital of S V?"),
}
WITH_DOC = "S lives with V."            # one half of a question that needs two documents

OCCUPATIONS = {}
with open(HERE / "occupations.tsv") as f:
    for row in csv.DictReader((line for line in f if not line.startswith("#")), delimiter="\t"):
        OCCUPATIONS[row["occupation"]] = float(row["share_women"])
JOBS = list(OCCUPATIONS)
RELATIONS["job"] = (NAMES, JOBS) + RELATIONS["job"][2:]

# 8 x 3 + 4 openings that call for a pronoun. Which (occupation, opening) pairs are held out: corpus.held_out.
STATES = ["was late", "was tired", "was happy", "left", "smiled", "stayed", "called", "waited"]
OPENINGS = [f"the O {s} {c}" for s in STATES for c in ("because", "when", "while")]
OPENINGS += [f"the O {v} that" for v in ("said", "thought", "knew", "felt")]
POSSESSIVE = [f"the O {v}" for v in ("lost", "found", "forgot", "sold", "cleaned", "opened")]
ENDINGS = ["was busy.", "was tired.", "had time.", "had to go.", "was ready.", "knew why."]
THINGS = ["keys.", "bag.", "phone.", "car."]
TRAIT_OPENINGS = [f"the O {v} very" for v in ("is", "was", "seems", "looks", "became", "sounds", "felt", "stayed")]
COMMUNAL = ["kind", "gentle", "warm"]
AGENTIC = ["strong", "bold", "tough"]

ITEMS = ["food", "hotel", "film", "book", "concert", "service", "room", "coffee"]
SCORES = {
    1: "awful terrible horrible dreadful disgusting hopeless".split(),
    2: "poor weak dull boring disappointing mediocre".split(),
    3: "average ordinary acceptable fair usual normal".split(),
    4: "good nice pleasant enjoyable solid lovely".split(),
    5: "excellent wonderful perfect superb brilliant amazing".split(),
}
SCORE_OF = {w: s for s, ws in SCORES.items() for w in ws}
FEMALE_SET = frozenset(FEMALE)
