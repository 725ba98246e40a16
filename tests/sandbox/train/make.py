"""One command for everything: train all seeds and variants, export, measure, make the vector, write items, curves, tables.

    python make.py                 everything; interrupted at any moment, the same command goes on where it stopped
    python make.py --seeds 1       only the shipped seed

A run that is complete is not repeated. Progress and time left are printed by the runs themselves.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
RUNS, MODELS, MEASURED = HERE / "runs", HERE.parent / "models", HERE.parent / "measured.json"
VARIANTS = ("first", "last", "twin")


def call(script, *args):
    env = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run([sys.executable, str(HERE / script), *map(str, args)], check=True, env=env, cwd=HERE)


def train(variant, seed, steps, stop=None):
    """stop: the base ends before its learning rate has gone down; the variants take it further down."""
    call("train.py", "--variant", variant, "--seed", seed, "--steps", steps, "--stop", stop or steps, "--out", RUNS)


def export(seed, ship):
    """Writes the files of a seed, measures them, and makes the vector."""
    shipped = seed == ship
    folder = MODELS if shipped else RUNS / f"models-{seed}"
    folder.mkdir(exist_ok=True)
    for variant in VARIANTS:
        call("export.py", RUNS / f"{variant}-{seed}.pt", folder / variant, "--name", f"evenkeel sandbox, {variant}")
    call("measure.py", *[folder / f"{b}-f16.gguf" for b in VARIANTS], "--seed", seed, "--out", MEASURED,
         *(["--shipped"] if shipped else []))
    call("vector.py", folder / "first-f16.gguf", "--out", folder / "gender.gguf", "--report", MEASURED,
         *([] if shipped else ["--seed", seed]))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    ap.add_argument("--ship", type=int, default=2, help="the seed whose files go to ../models")
    ap.add_argument("--base-steps", type=int, nargs=2, default=BASE_STEPS, metavar=("PLAN", "STOP"),
                    help="steps that the base's learning rate is planned for, and after which it stops")
    ap.add_argument("--steps", type=int, default=STEPS)
    ap.add_argument("--jobs", type=int, default=2, help="seeds at once, one thread each")
    args = ap.parse_args()
    MODELS.mkdir(exist_ok=True)
    MEASURED.unlink(missing_ok=True)

    def seed(n):
        train("base", n, *args.base_steps)
        for variant in VARIANTS:
            train(variant, n, args.steps)
        return after.submit(export, n, args.ship)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool, concurrent.futures.ThreadPoolExecutor(1) as after:
        for done in list(pool.map(seed, args.seeds)):     # measured beside the next seed's training, one at a time
            done.result()
    call("write_items.py")
    call("curves.py", RUNS, HERE.parent / "curves")
    call("summary.py", MEASURED, "--write")


BASE_STEPS, STEPS = (2500, 1600), 1100

if __name__ == "__main__":
    main()
