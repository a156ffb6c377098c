#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make soak HOURS=...: every action of scripts/trust/mix.py, in any order.

Rounds are drawn from seeds until the time is over: a guest with some disk under
loads that check what they wrote, and then resets, lies of the device, hot-plug,
sleep, live migration, power cuts and so on. The first error ends it. Each
round, and each action before it is done, is recorded in the log; the seed of a
round repeats it.

    scripts/soak_mix.py --hours H [--seed S] [-k KERNEL] [--log FILE] [--write]
    scripts/soak_mix.py --round SEED [-k KERNEL] [--log FILE]
"""

import argparse
import json
import math
import sys
import time
import traceback

from trust import mix
from vbl import SetupError, VblError, pick_kernel, record

LOG = "soak.log"


class Log:
    """A line of JSON for each action, written before the action is done."""

    def __init__(self, path):
        try:
            self.file = open(path, "a", encoding="utf-8")
        except OSError as e:
            raise SetupError(f"LOG={path}: {e.strerror}") from None
        self.path = path

    def add(self, **row):
        """One line."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def in_words(plan):
    """A round in one line of text."""
    disk = ", ".join(f"{k}={v}" for k, v in plan.get("disk", {}).items())
    done = [a if isinstance(a, str) else a[0] for a in plan["actions"]]
    beside = plan.get("beside") and f" (beside: {', '.join(plan['beside'])})"
    return f"{disk or plan['kind']}: {', '.join(done)}{beside or ''}" + \
        (f"; {plan['end']}" if "end" in plan else "")


def one(seed, kernel, log):
    """One round; how many actions were done. Raises when something is wrong."""
    plan, began = mix.draw(seed), time.monotonic()
    release = pick_kernel(kernel).release
    again = record.make("soak", ROUND=seed, K=release)

    def tell(**row):
        log.add(round=seed, at=round(time.monotonic() - began, 2), **row)

    log.add(time=time.strftime("%F %T"), kernel=release, tree=record.commit(),
            repeat=again, **plan)
    print(f"round {seed}: {in_words(plan)}", flush=True)
    try:
        done = mix.do(plan, kernel, tell)
    except VblError as e:
        tell(wrong=str(e), trace=traceback.format_exc())
        print(f"{e}\n\nround {seed} went wrong: {str(e).splitlines()[0]}\n"
              f"{log.path} has all of it; to repeat that round: {again}",
              file=sys.stderr, flush=True)
        raise
    tell(end="as it should be")
    return done


def campaign(args, log):
    """Rounds until the time is over."""
    until = time.monotonic() + args.hours * 3600
    rounds = actions = 0
    with record.noted(args.write, "all of it mixed", args.kernel, None,
                    record.make("soak", HOURS=f"{args.hours:g}", SEED=args.seed,
                              K=args.kernel)) as figures:
        for seed in mix.seeds(args.seed):
            if time.monotonic() > until:
                break
            rounds += 1
            figures.update(tried=rounds)
            actions += one(seed, args.kernel, log)
            figures.update(said=f"{actions} actions")
    print(f"{rounds} rounds, {actions} actions: nothing lost, nothing hung, "
          f"no complaint; {log.path} has them")


def parse(argv):
    """The command line, whose options a user of make writes in capitals."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("n", nargs="?")
    top.add_argument("--what")
    top.add_argument("--hours")
    top.add_argument("--round")
    top.add_argument("--seed")
    top.add_argument("-k", "--kernel",
                     help="a series, such as 6.1, or a release")
    top.add_argument("--log", default=LOG)
    top.add_argument("--write", action="store_true")
    args = top.parse_args(argv)
    main_word = "HOURS" if args.hours else "ROUND"
    for word, given in {"N": args.n, "WHAT": args.what}.items():
        if given:
            top.error(f"{main_word} and {word}={given}: with {main_word} "
                      f"everything is mixed; {word} is for a soak without it")
    if bool(args.hours) == bool(args.round):
        top.error("HOURS (for so long) or ROUND (that one again), not both")
    if args.round and (args.seed or args.write):
        top.error("ROUND is a seed by itself, and has no figures: neither "
                  "SEED nor WRITE goes with it")
    args.seed = number(top, "SEED", args.seed or "1", int, 0)
    if args.round:
        args.round = number(top, "ROUND", args.round, int, 0)
    else:
        args.hours = number(top, "HOURS", args.hours, float, 1e-9)
    return args


def number(top, word, text, kind, least):
    """A number that the user gave."""
    try:
        value = kind(text)
        if math.isfinite(value) and value >= least:
            return value
    except ValueError:
        pass
    return top.error(f"{word}={text}: expected " + (
        "a whole number" if kind is int else "hours, such as 2 or 0.05"))


def main(argv=None):
    """Command line entry."""
    args = parse(argv)
    try:
        log = Log(args.log)
        if args.round is None:
            campaign(args, log)
        else:
            one(args.round, args.kernel, log)
            print(f"round {args.round}: as it should be")
    except SetupError as e:
        print(f"soak: {e}", file=sys.stderr)
        return 2
    except VblError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
