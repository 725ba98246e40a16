"""Tests of the sandbox: python -m unittest tests/sandbox/test_sandbox.py (needs train/requirements.txt).

The slow ones measure the shipped files again: each planted bias is present in the biased models, absent in the twin.
"""
import json
import os
import pathlib
import random
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
import items  # noqa: E402
import measure  # noqa: E402
import questions  # noqa: E402
import short  # noqa: E402
import summary  # noqa: E402
import vocab as v  # noqa: E402
import world as w  # noqa: E402

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

    def test_ten_documents_are_learned(self):
        twin = export.Loaded(HERE / "models" / "twin-f16.gguf")
        rng = random.Random("test ten")
        got = evaluate.share_right(twin, [items.open_item(rng, 10, n % 10) for n in range(200)])
        self.assertGreater(got["value"], 0.95)


if __name__ == "__main__":
    unittest.main()
