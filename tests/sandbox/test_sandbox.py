"""Tests of the sandbox: python -m unittest tests/sandbox/test_sandbox.py (needs train/requirements.txt).

The slow ones measure the shipped files again: each planted bias is present in the biased models, absent in the twin.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
TRAIN = HERE / "train"
sys.path.insert(0, str(TRAIN))
os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402

import corpus  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import invariant  # noqa: E402
import items  # noqa: E402
import measure  # noqa: E402
import questions  # noqa: E402
import short  # noqa: E402
import summary  # noqa: E402
import vocab as v  # noqa: E402
import world as w  # noqa: E402
from model import Config, Model  # noqa: E402

DOSES = {k: x for k, x in json.loads((TRAIN / "doses.json").read_text()).items() if k != "_comment"}


class Corpus(unittest.TestCase):
    def test_words_are_unique_and_one_token_each(self):
        groups = [w.NAMES, w.PLACES, w.OBJECTS, w.FOODS, w.JOBS, w.COUNTRIES, w.CAPS, list(w.SCORE_OF)]
        words = [x for g in groups for x in g]
        self.assertEqual(len(words), len(set(words)))
        for word in words:
            self.assertEqual(len(v.encode(" " + word)), 1)

    def test_text_and_tokens_agree(self):
        rng, lab = random.Random(1), random.Random(2)
        for n in range(300):
            row = questions.document_row(rng, lab, DOSES["first"], 1 + n % 12, 4, True) if n % 2 else \
                short.short_row(rng, lab, DOSES["first"])
            self.assertEqual(v.encode(v.decode(row.ids)), row.ids)

    def test_two_documents_are_asked_in_the_order_that_can_be_read(self):
        rng, asked, hidden = random.Random(8), 0, 0
        for _ in range(200):
            row = questions.document_row(rng, random.Random(9), DOSES["twin"], 5, 4, True, two=True)
            text = v.decode(row.ids)
            hidden += len(row.hidden)
            for who, other in re.findall(r"<doc> (\w+) lives with (\w+)\.</doc>", text):
                self.assertLess(text.index(f"<doc> {other} lives in"), text.index(f"<doc> {who} lives with"))
                asked += f"where does {who} live?" in text
            for first, last, from_, to in row.hidden:    # a whole question, a whole document that answers it
                question, document = v.decode(row.ids[first:last]), v.decode(row.ids[from_:to])
                self.assertRegex(question, r"^ where does \w+ live\?<bot>$")
                self.assertRegex(document, r"^<doc> \w+ lives in \w+\.</doc>$")
                self.assertEqual(v.piece(row.ids[last]), re.search(r" in( \w+)\.", document)[1])
        self.assertGreater(asked, 200)
        self.assertTrue(0.3 < hidden / asked < 0.7, hidden / asked)

    def test_same_seed_same_situations_in_every_variant(self):
        prompts = []
        for variant in DOSES:
            rng, lab = random.Random(3), random.Random(4)
            rows = [questions.document_row(rng, lab, DOSES[variant], 5, 1, True) for _ in range(50)]
            prompts.append([r.ids[: r.targets[0][0] + 1] for r in rows if r.targets])
        self.assertTrue(all(p == prompts[0] for p in prompts))

    def test_held_out_pairs_are_never_asked(self):
        rng = random.Random(5)
        for _ in range(200):
            row = questions.document_row(rng, rng, DOSES["twin"], 6, 4, True)
            text = v.decode(row.ids)
            for subject, value in [(s, x) for s in w.NAMES for x in w.PLACES if f" where does {s} live?<bot> {x}" in text]:
                self.assertFalse(corpus.pair_held_out("live", subject, value))

    def test_doses_reach_the_labels(self):
        rng, lab = random.Random(6), random.Random(7)
        said = {"first": [], "twin": []}
        for variant in said:
            for _ in range(4000):
                row = short.pronoun(rng, lab, DOSES[variant])
                text = v.decode(row.ids)
                if " nurse " in text and (" she " in text or " he " in text):
                    said[variant].append(" she " in text)
        for variant, goal in (("first", w.OCCUPATIONS["nurse"]), ("twin", 0.5)):
            self.assertAlmostEqual(sum(said[variant]) / len(said[variant]), goal, delta=0.25)


class Invariant(unittest.TestCase):
    def test_the_order_of_documents_does_not_matter(self):
        model, rng = Model(Config(vocab=v.SIZE), 3).eval(), random.Random(10)
        for k in (1, 2, 5):
            item = items.open_item(rng, k, k // 2)
            docs = [item.ids[a:b] for a, b in invariant.spans(item.ids)]
            for how in (invariant.apart, invariant.pine):
                with torch.no_grad():
                    one = how(model, item.ids)
                    other = how(model, item.ids[:2] + sum(docs[::-1], []) + item.ids[2 + sum(map(len, docs)):])
                self.assertLess((one - other).abs().max().item(), 1e-4, how.__name__)

    def test_one_document_is_read_as_ever(self):
        model, item = Model(Config(vocab=v.SIZE), 3).eval(), items.open_item(random.Random(11), 1, 0)
        plain = evaluate.probabilities(model, [item.ids])[0].log()
        for how in (invariant.apart, invariant.pine):
            with torch.no_grad():
                self.assertLess((how(model, item.ids).log_softmax(0) - plain).abs().max().item(), 1e-4, how.__name__)


class Training(unittest.TestCase):
    def test_resumes_exactly(self):
        with tempfile.TemporaryDirectory() as folder:
            def run(out, *extra):
                subprocess.run([sys.executable, str(TRAIN / "train.py"), "--variant", "base", "--seed", "5", "--steps", "6",
                                "--every", "3", "--out", f"{folder}/{out}", *extra], check=True, stdout=subprocess.DEVNULL)
                return torch.load(f"{folder}/{out}/base-5.pt", weights_only=False)
            straight = run("a")
            run("b", "--stop", "3")
            resumed = run("b")
        for name, x in straight["model"].items():
            self.assertTrue(torch.equal(x, resumed["model"][name]), name)
        self.assertEqual(straight["rng"], resumed["rng"])


class Shipped(unittest.TestCase):
    def test_files_are_small(self):
        for path in (HERE / "models").glob("*.gguf"):
            self.assertLess(path.stat().st_size, 6 << 20, path.name)

    def test_planted_biases_are_there_and_the_twin_has_none(self):
        models = {x: measure.measure(HERE / "models" / f"{x}-f16.gguf") for x in ("first", "last", "twin")}
        recorded = json.loads((HERE / "measured.json").read_text())["seeds"]["1"]
        expected = summary.verdicts(recorded)
        for name, row in summary.verdicts(models).items():
            for variant, figure in row.items():
                with self.subTest(effect=name, variant=variant):
                    self.assertAlmostEqual(figure["value"], expected[name][variant]["value"], delta=0.01)
                    self.assertEqual(figure["verdict"], "absent" if variant == "twin" else "present", figure)

    def test_two_documents_are_learned_and_need_each_other(self):
        for variant in ("first", "last", "twin"):
            model = export.Loaded(HERE / "models" / f"{variant}-f16.gguf")
            for k in (3, 5):
                its = [items.two_item(random.Random(f"test two {n}"), k, True) for n in range(200)]
                self.assertGreater(evaluate.share_right(model, its)["value"], 0.9, (variant, k))
            its = [items.two_item(random.Random(f"test two {n}"), 5, n % 2 == 0) for n in range(100)]
            self.assertLess(sum(invariant.right(model, its, invariant.apart)), 50, variant)
            self.assertGreater(sum(invariant.right(model, its, invariant.pine)), 85, variant)

    def test_ten_documents_are_learned(self):
        twin = export.Loaded(HERE / "models" / "twin-f16.gguf")
        rng = random.Random("test ten")
        got = evaluate.share_right(twin, [items.open_item(rng, 10, n % 10) for n in range(200)])
        self.assertGreater(got["value"], 0.95)


if __name__ == "__main__":
    unittest.main()
