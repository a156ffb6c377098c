# SPDX-License-Identifier: GPL-2.0
"""make style: a line that breaks the layout is found, with its place."""

import pytest
from style import layout
from vbl import TREE
from vbl.tree import sources

# As small as a tree can be that breaks nothing.
CLEAN = {
    "virtio_main_lite.c": '#include "virtio_lite.h"\n',
    "virtio_blk_lite.c": '#include "blk/submit.h"\n',
    "blk/blk.h": '#include "virtio_lite.h"\n#include "virtio_ring_lite.h"\n',
    "blk/mem.h": '#include "blk/blk.h"\n',
    "blk/mem.c": '#include <linux/bio.h>\n#include "blk/mem.h"\n',
    "blk/submit.h": '#include "blk/blk.h"\n',
    "blk/submit.c": '#include "blk/mem.h"\n#include "blk/submit.h"\n',
    "pci/irq.h": '#include "virtio_lite.h"\n',
    "pci/irq.c": '#include "irq.h"\n',
    "ring/packed.h": '#include "virtio_queue.h"\n',
    "ring/packed.c": '#include "ring/packed.h"\n',
    "include/virtio_lite.h": '#include "virtio_spec.h"\n',
    "include/virtio_queue.h": '#include "virtio_spec.h"\n',
    "include/virtio_ring_lite.h": '#include "ring/packed.h"\n',
    "include/virtio_spec.h": "",
    "include/compat/compat.h": '#include "compat/found.h"\n',
    "scripts/guest.py": "from vbl import Guest\n",
    "scripts/soak.py": "from trust import mix\nimport vbl\n",
    "scripts/vbl/__init__.py": "from .guest import Guest\n",
    "scripts/vbl/guest.py": "from . import tree\nfrom .tree import TREE\n",
    "scripts/vbl/tree.py": "import os\n",
    "scripts/device/__init__.py": "from vbl import tree\n",
    "scripts/trust/__init__.py": "",
    "scripts/trust/mix.py": "import device\nfrom vbl.tree import TREE\n",
    "selftests/host/conftest.py": "import sys\nsys.path.insert(0, 1)\n",
    "selftests/host/scripted.py": "from device import tree\n",
    "selftests/host/test_a.py": "import guest, scripted\n",
    "selftests/host/test_b.py": "import pytest\nfrom conftest import sys\n",
}


@pytest.fixture
def found(tmp_path):
    """found({file: its text}): what is wrong with these beside CLEAN."""
    def check(changed):
        files = {**CLEAN, **changed}
        for name, text in files.items():
            if text is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text)
        return layout.problems(tmp_path, [n for n in files
                                          if files[n] is not None])
    return check


def test_clean_tree(found):
    assert not found({})


BREACHES = {
    "up": ({"pci/irq.c": '\n#include "blk/submit.h"\n'},
           "pci/irq.c:2: pci may not include blk/submit.h, which is of blk"),
    "main": ({"virtio_main_lite.c": '#include "blk/blk.h"\n'},
             "virtio_main_lite.c:1: main may not include blk/blk.h, which is "
             "of blk"),
    "shared up": ({"include/virtio_lite.h": '#include "blk/blk.h"\n'},
                  "include/virtio_lite.h:1: device may not include blk/blk.h, "
                  "which is of blk"),
    "private": ({"blk/mem.c": '#include "ring/packed.h"\n'},
                "blk/mem.c:1: ring/packed.h is private to ring"),
    "no part": ({"net/net.c": ""},
                "net/net.c:1: belongs to no part of the layout"),
    "no file": ({"blk/mem.c": '#include "blk/gone.h"\n'},
                "blk/mem.c:1: blk/gone.h is not in the tree"),
    "import up": ({"scripts/vbl/tree.py": "import os\nimport device\n"},
                  "scripts/vbl/tree.py:2: vbl may not import "
                  "scripts/device/__init__.py, which is of device"),
    "import of a test": ({"scripts/trust/mix.py": "import scripted\n"},
                         "scripts/trust/mix.py:1: trust may not import "
                         "selftests/host/scripted.py, which is of fixtures"),
    "import in a function": (
        {"scripts/device/__init__.py": "def f():\n    from trust import mix\n"},
        "scripts/device/__init__.py:2: device may not import "
        "scripts/trust/mix.py, which is of trust"),
    "test of a test": ({"selftests/host/test_b.py": "import test_a\n"},
                       "selftests/host/test_b.py:1: tests may not import each "
                       "other: selftests/host/test_a.py"),
    "program of a program": ({"scripts/soak.py": "import guest\n"},
                             "scripts/soak.py:1: programs may not import each "
                             "other: scripts/guest.py"),
    "sys.path": ({"scripts/guest.py": "import sys\nsys.path[:0] = ['x']\n"},
                 "scripts/guest.py:2: only selftests/host/conftest.py changes "
                 "sys.path"),
    "no package": ({"scripts/odd/mod.py": ""},
                   "scripts/odd/mod.py:1: belongs to no part of the layout"),
}


@pytest.mark.parametrize("changed, want", BREACHES.values(), ids=BREACHES)
def test_breach(found, changed, want):
    """One line, which says where and what; it may make a circle too."""
    assert [one for one in found(changed) if "a circle: " not in one] == [want]


CIRCLES = {
    "headers": ({"blk/blk.h": '#include "blk/mem.h"\n'},
                ("blk/blk.h:1 uses blk/mem", "blk/mem.h:1 uses blk/blk")),
    "a source and the header of another": (
        {"blk/mem.c": '\n#include "blk/submit.h"\n'},
        ("blk/mem.c:2 uses blk/submit", "blk/submit.c:1 uses blk/mem")),
    "three": ({"blk/mem.h": '#include "blk/submit.h"\n',
               "blk/submit.h": '#include "blk/zoned.h"\n',
               "blk/submit.c": "",
               "blk/zoned.h": '#include "blk/mem.h"\n'},
              ("blk/mem.h:1 uses blk/submit", "blk/submit.h:1 uses blk/zoned",
               "blk/zoned.h:1 uses blk/mem")),
    "a test's own": ({"selftests/unit/a.h": '#include "b.h"\n',
                      "selftests/unit/b.h": '#include "a.h"\n'},
                     ("selftests/unit/a.h:1 uses selftests/unit/b",
                      "selftests/unit/b.h:1 uses selftests/unit/a")),
    "modules": ({"scripts/vbl/tree.py": "def f():\n    from . import guest\n"},
                ("scripts/vbl/guest.py:1 uses scripts/vbl/tree.py",
                 "scripts/vbl/tree.py:2 uses scripts/vbl/guest.py")),
    "a module and its package": (
        {"scripts/vbl/tree.py": "from . import Guest\n"},
        ("scripts/vbl/__init__.py:1 uses scripts/vbl/guest.py",
         "scripts/vbl/tree.py:1 uses scripts/vbl/__init__.py")),
}


@pytest.mark.parametrize("changed, steps", CIRCLES.values(), ids=CIRCLES)
def test_circle(found, changed, steps):
    """One line for each, with every step of it."""
    line, = [one for one in found(changed) if "a circle: " in one]
    assert all(step in line for step in steps)
    assert line.split(": ", 1)[0] in line.split("a circle: ")[1]


def test_tree_without_folders(found):
    """The includes of a module that is not laid out like this are left alone."""
    assert not found({"virtio_main_lite.c": None,
                      "pci/irq.c": '#include "blk/blk.h"\n'})


def test_this_tree():
    assert not layout.problems(TREE, sources())
