# SPDX-License-Identifier: GPL-2.0
# The product's Makefile.  What the module is made of stands in Kbuild.

# K chooses a kernel by its series (K=6.1) or release; KDIR by its folder. Else
# the running kernel's headers are used, or the newest ones installed: that
# needs no Python.
ifneq ($(K),)
KDIR = $(eval KDIR := $(shell $(GUEST) headers -k '$(K)'))$(KDIR)
else
KDIR ?= $(or $(wildcard /lib/modules/$(shell uname -r)/build),\
	$(lastword $(shell ls -d /lib/modules/*/build 2>/dev/null | sort -V)))
endif

PYTHON ?= python3
PYTEST ?= $(or $(shell command -v pytest-3),$(PYTHON) -m pytest)
GUEST := $(PYTHON) scripts/guest.py

# These are ours: kbuild must not see them as its own.
OURS = K T J KDIR FULL WRITE OLD NEW N WHAT SECONDS SEED HOURS ROUND LOG SUITE
OURS += HOLD DRIVER DISK QEMU
OURS += Q
OURS += KERNELS QEMUS DRIVERS PARTS TO
OURS += BLKTESTS XFSTESTS LIBURING
OURS += ROOT DEBS
OURS += DESTDIR OUT FILE
MAKEOVERRIDES := $(filter-out $(OURS:%=%=%),$(MAKEOVERRIDES))
export K Q DRIVER

KBUILD = $(MAKE) -C $(KDIR) M=$(CURDIR)

# A host may run a kernel whose headers it does not have.
module: kdir-there
	@test "$(KDIR)" = /lib/modules/$$(uname -r)/build || \
		echo "building for $(KDIR)"
	@$(KBUILD) modules

# A driver of another module, on the same bus.
samples: kdir-there
	@$(KBUILD) modules SAMPLES=1

kdir-there:
	@test -e "$(KDIR)/Makefile" || { \
		$(if $(K),,echo "KDIR=$(KDIR): no such kernel headers; make help lists what is there, make setup installs some" >&2;) \
		exit 1; }

clean: kdir-there
	@$(KBUILD) clean
	@find scripts selftests -name __pycache__ -prune -exec rm -rf {} +
	@test ! -e selftests/unit/Makefile || $(MAKE) -C selftests/unit clean
	@$(MAKE) -C selftests/fuzz clean

# Below another root with DESTDIR or, as the kernel calls it, INSTALL_MOD_PATH.
DEST = $(or $(INSTALL_MOD_PATH),$(DESTDIR))
RULES = $(DEST)/usr/lib/udev/rules.d
RELEASE = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	$(KDIR)/include/generated/utsrelease.h)
DEPMOD = depmod $(if $(DEST),-b $(DEST)) $(RELEASE)

install: module
	@$(KBUILD) modules_install $(if $(DEST),INSTALL_MOD_PATH=$(DEST))
	$(DEPMOD)
	install -D -m 644 -t $(RULES) udev/59-virtio-lite.rules

# The rule stays while the module is there for another kernel.
uninstall: kdir-there
	@test -n "$(RELEASE)" || { \
		echo "KDIR=$(KDIR): which kernel this is, is not known before it is built" >&2; \
		exit 1; }
	find $(DEST)/lib/modules/$(RELEASE)/ -name 'virtio_lite.ko*' -delete
	$(DEPMOD)
	test -n "$$(find $(DEST)/lib/modules/ -name 'virtio_lite.ko*')" || \
		rm -f $(RULES)/59-virtio-lite.rules

# What the user chose is looked at before anything long begins.
chosen:
	@$(if $(K)$(Q)$(DRIVER)$(VBL_QEMU),$(GUEST) check)
# In a copy, of what the packages are made of.
DEB = $(CURDIR)/deb
DEB_PARTS = debian tools udev Documentation blk bus pci ring include Kbuild \
	VERSION $(wildcard virtio_*_lite.c)
deb:
	@command -v dh >/dev/null && command -v dpkg-buildpackage >/dev/null || { \
		echo "make deb needs debhelper (scripts/setup --packages)" >&2; exit 1; }
	@top=$$(mktemp -d) && trap 'rm -rf "$$top"' EXIT && mkdir $$top/tree && \
	cp -a $(DEB_PARTS) $$top/tree/ && cd $$top/tree && \
	{ env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS dpkg-buildpackage -us -uc -b \
		>$$top/log 2>&1 || { cat $$top/log >&2; exit 1; }; } && \
	mkdir -p $(DEB) && rm -f $(DEB)/virtio-lite* && \
	cp $$top/virtio-lite* $(DEB)/ && ls $(DEB)/*.deb

setup:
	@scripts/setup $(if $(findstring postgres,$(WHAT)),--postgres)

run: setup chosen
	@$(GUEST) demo

shell: chosen
	@$(GUEST) shell

# J tests at a time, those that share a guest one after another.
J_GIVEN := $(J)
J ?= $(shell nproc)
TESTS = $(PYTEST) -v -n $(J) --dist loadgroup selftests/host $(if $(T),-k '$(T)')

check: setup chosen
	@$(TESTS)

check-all: setup chosen
	@$(TESTS) --full

# For every kernel that Debian carries; K= chooses none, SUITE=sid one suite.
kernels: setup
	@scripts/kernels.py $(SUITE)

unit:
	@if test -e selftests/unit/Makefile; then \
		$(MAKE) -C selftests/unit check; \
	else \
		echo "selftests/unit has no Makefile: nothing to run"; \
	fi

# Other architectures: ARCH=arm64 one of them, K=6.12 its kernels of a series.
ports: setup
	@$(PYTHON) scripts/ports.py $(if $(ARCH),--arch '$(ARCH)') \
		$(if $(K),-k '$(K)')

# The module in a guest, against a hostile device: SECONDS=60, SEED=1, K=debug.
fuzz: setup chosen
	@$(PYTHON) scripts/fuzz.py $(if $(K),-k '$(K)') \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(N),--mutations $(N)) $(if $(GUESTS),--guests $(GUESTS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WRITE),--write)

# The ring under a device that lies: SECONDS=60 SEED=1 (0: another each time).
fuzz-ring:
	@$(MAKE) -s -C selftests/fuzz fuzz $(if $(SECONDS),SECS=$(SECONDS)) \
		$(if $(SEED),SEED=$(SEED))

# Each fault, N times with our driver, fewer with upstream's: a table.
trust: setup chosen
	@scripts/trust.py $(N) $(if $(K),-k '$(K)') $(if $(WRITE),--write)

# Hot-unplug, unbind and unload, N times each under load, or storms; or everything
# mixed, for HOURS, or the one ROUND of it that a log names.
soak: setup chosen
	@scripts/$(if $(HOURS)$(ROUND),soak_mix.py,soak.py) $(N) \
		$(if $(HOURS),--hours=$(HOURS)) $(if $(ROUND),--round=$(ROUND)) \
		$(if $(LOG),--log $(LOG)) $(if $(SEED),--seed $(SEED)) \
		$(if $(K),-k '$(K)') $(if $(WHAT),--what $(WHAT)) \
		$(if $(WRITE),--write)

# QEMU is killed N times while a guest writes; what was acknowledged has to be there.
powercut: setup chosen
	@scripts/powercut.py $(N) $(if $(SEED),--seed $(SEED)) $(if $(K),-k '$(K)') \
		$(if $(WHAT),--what $(WHAT)) $(if $(WRITE),--write)

# Debian systems move to this driver with their root disk, and back.
dropin:
	@scripts/setup --packages
	@scripts/dropin.py $(if $(SUITE),--suite $(SUITE)) \
		$(if $(ROOT),--root $(ROOT)) $(if $(WHAT),--what $(WHAT)) \
		$(if $(DEBS),--debs $(DEBS))

# What the specification requires of a driver, watched on scripted devices.
conformance: setup chosen
	@$(PYTHON) scripts/conformance.py $(if $(T),-k '$(T)')

# What upstream's driver does otherwise, from what these and trust have shown.
upstream:
	@$(PYTHON) scripts/upstream.py

conformance-mutants: setup
	@$(PYTHON) scripts/conformance_mutants.py $(T)

# The table has both drivers; one of them alone is a few figures.
bench: chosen
	@$(PYTHON) scripts/bench.py $(if $(DRIVER),quick,run) $(if $(K),-k '$(K)') \
		$(if $(FULL),--full) $(if $(WRITE),--write)

# Two results; or this tree, and the figures of Documentation/performance.json.
bench-compare: $(if $(OLD)$(NEW),,chosen)
	@test "$(if $(OLD),1)" = "$(if $(NEW),1)" || { \
		echo "usage: make bench-compare [OLD=a.json NEW=b.json]" >&2; \
		exit 2; }
	@$(PYTHON) scripts/bench.py $(if $(OLD),compare '$(OLD)' '$(NEW)',exact \
		$(if $(K),-k '$(K)'))

# The ring's memory before, while and after the device holds requests.
ring: setup
	@scripts/ring.py $(HOLD) $(if $(K),-k '$(K)') \
		$(if $(DRIVER),--driver $(DRIVER)) $(if $(WHAT),--what $(WHAT)) \
		$(if $(QEMU),--qemu '$(QEMU)') $(if $(DISK),--disk '$(DISK)') \
		$(if $(OUT),--html '$(OUT)')

# Register accesses of a request on five kinds of disks.
exits: setup
	@scripts/exits.py $(if $(K),-k '$(K)') $(if $(WHAT),--what $(WHAT)) \
		$(if $(QEMU),--qemu '$(QEMU)') $(if $(OUT),--svg '$(OUT)')

# A value as one word of the shell, whatever is in it; an option with it, if it is set.
quote = '$(subst ','\'',$(1))'
option = $(if $(2),--$(1)=$(call quote,$(2)))

# KERNELS, QEMUS, DRIVERS and PARTS are lists; the folder TO has what is done.
matrix: setup
	@$(PYTHON) scripts/matrix.py run \
		$(call option,to,$(or $(TO),matrix-results)) \
		$(call option,hours,$(HOURS)) $(if $(J_GIVEN),$(call option,jobs,$(J))) \
		$(call option,kernels,$(or $(KERNELS),$(K))) \
		$(call option,qemus,$(or $(QEMUS),$(Q))) \
		$(call option,drivers,$(or $(DRIVERS),$(DRIVER))) \
		$(call option,parts,$(PARTS))

matrix-compare:
	@test -n $(call quote,$(OLD)) -a -n $(call quote,$(NEW)) || { \
		echo "usage: make matrix-compare OLD=folder NEW=folder" >&2; \
		exit 2; }
	@$(PYTHON) scripts/matrix.py compare -- $(call quote,$(OLD)) $(call quote,$(NEW))

# Other people's tests; BLKTESTS, XFSTESTS and LIBURING are folders, ONLY some tests.
export BLKTESTS XFSTESTS LIBURING ONLY
suites: setup chosen
	@$(PYTHON) scripts/suites.py $(call option,what,$(WHAT)) $(call option,to,$(TO))

# One request, or how a driver gets a device, seen from both sides.
SEEING = $(if $(WHAT),$(WHAT)) $(if $(DRIVER),--driver $(DRIVER)) \
	$(if $(K),-k '$(K)') $(if $(QEMU),--qemu '$(QEMU)') \
	$(if $(DISK),--disk '$(DISK)') $(if $(OUT),--out '$(OUT)')

journey: setup
	@$(PYTHON) scripts/journey.py run $(SEEING)

journey-diff:
	@test -n "$(OLD)" -a -n "$(NEW)" || { \
		echo "usage: make journey-diff OLD=a.journey.json NEW=b.journey.json" >&2; \
		exit 2; }
	@$(PYTHON) scripts/journey.py diff '$(OLD)' '$(NEW)'

probe-story: setup
	@$(PYTHON) scripts/journey.py probe $(SEEING)

# The commands of the lessons, as their pages show them; N= one lesson.
lessons: setup
	@$(PYTHON) scripts/lessons.py run $(N) $(if $(WRITE),--write)

lesson-check:
	@test -n "$(N)" || { echo "usage: make lesson-check N=5, or N=11 FILE=my_driver.c" >&2; exit 2; }
	@$(PYTHON) scripts/lessons.py check $(N) $(FILE)

# The pages as HTML, in the folder site, or OUT.
docs:
	@$(PYTHON) scripts/lessons.py site '$(or $(OUT),site)'

style:
	@$(PYTHON) scripts/style.py

help:
	@echo "Use it:"
	@echo "  module     build virtio_lite.ko here (the default; W=1 C=1 pass through)"
	@echo "  samples    also samples/virtio_rng_lite.ko, a second driver on its bus"
	@echo "  install    install it for that kernel, with its udev rule, as root; DESTDIR=folder"
	@echo "  uninstall  remove both"
	@echo "  deb        packages of the module (DKMS) and of virtio-lite(8), in deb/"
	@echo "  clean      remove what a build leaves"
	@echo "  run        boot a guest, use a disk through the module, check the image"
	@echo "  shell      the same guest, with a prompt"
	@echo "  setup      install the Debian packages that are missing"
	@echo
	@echo "Test it:"
	@echo "  check      all tests but the long ones; T=NAME only those,"
	@echo "             J=1 one at a time (else one per CPU)"
	@echo "  check-all  the long ones too"
	@echo "  unit       the tests that need no guest"
	@echo "  kernels    build for the newest kernels of Debian's suites; SUITE=sid"
	@echo "  ports      build and use the module on arm64, armhf and s390x: kernels of"
	@echo "             Debian, emulated; ARCH=arm64, K=6.12 (scripts/setup --ports)"
	@echo "  style      coding style, sparse, compiler warnings, who may include whom"
	@echo "  conformance  each requirement of virtio, watched on scripted devices;"
	@echo "             writes Documentation/conformance.md; T=NAME only those"
	@echo "  upstream   Documentation/upstream.md, from what conformance and trust showed"
	@echo "  conformance-mutants  do these tests notice a driver that is wrong?"
	@echo
	@echo "Learn:"
	@echo "  lessons    run the commands of the lessons and compare what they print with"
	@echo "             the pages (Documentation/lessons); N=5 one of them, WRITE=1"
	@echo "  lesson-check N=5  ask that lesson's questions; N=11 FILE=driver.c test a driver"
	@echo "  docs       the pages as HTML, in the folder site or OUT="
	@echo
	@echo "Run a campaign or measure; WRITE=1 puts the result into Documentation/:"
	@echo "  trust      each fault N times (1), with this driver and upstream's"
	@echo "  fuzz       the module against a device that lies; SECONDS=60, N=1000 lies,"
	@echo "             SEED=7 ROUNDS=1 repeats a round,"
	@echo "             GUESTS=4 at a time (each needs two CPUs)"
	@echo "  fuzz-ring  the rings in user space against such a device; SECONDS=60, SEED=1"
	@echo "  soak       hot-unplug, unbind, unload, N times (20) each; SEED=1,"
	@echo "             WHAT=unplug,rebind,reload; WHAT=storm: lies and new settings"
	@echo "  soak HOURS=2  everything mixed; SEED=1; LOG=soak.log has the command that"
	@echo "             repeats a round: ROUND=SEED"
	@echo "  powercut   QEMU killed N times (5) under a guest that writes; SEED=1,"
	@echo "             WHAT=fsync,postgres"
	@echo "  dropin     Debian systems move to this driver with their root, and back;"
	@echo "             SUITE=bookworm,trixie,sid ROOT=ext4,lvm,xfs,btrfs,luks"
	@echo "             WHAT=journey,nobuild,refused,dracut,purged,powercut"
	@echo "  bench      what a request costs, with this driver and upstream's;"
	@echo "             FULL=1 more figures"
	@echo "  bench-compare  what got worse since Documentation/performance.md;"
	@echo "             OLD=a.json NEW=b.json: between two results of make bench"
	@echo
	@echo "See it work:"
	@echo "  ring       a ring's memory while the device holds requests; HOLD=2,"
	@echo "             DRIVER=lite|upstream, WHAT=write|read|mixed, OUT=ring.html,"
	@echo "             QEMU=debian or newer,"
	@echo "             DISK=transport=legacy or packed=on, in_order=on, indirect=off ..."
	@echo "  exits      register accesses per request on IDE, AHCI, NVMe, upstream's"
	@echo "             virtio and ours; WHAT=read|write, OUT=exits.svg"
	@echo "  journey    one request from write() to the image file and back, on one axis;"
	@echo "             WHAT=write,read,flush,discard,buffered or batch,"
	@echo "             DRIVER=upstream, QEMU=debian or newer, DISK=packed=on,..."
	@echo "             (packed, transport, ioeventfd, iothread, event_idx);"
	@echo "             the files go to journeys/, or OUT=folder"
	@echo "  journey-diff OLD=a NEW=b  two .journey.json side by side"
	@echo "  probe-story  how a driver gets a device: calls beside registers;"
	@echo "             WHAT=insmod, bind, plug, other, override or features"
	@echo
	@echo "Look for a regression (Documentation/lab.md):"
	@echo "  matrix     kernels x QEMUs x drivers x parts in one table; HOURS=2, continues"
	@echo "             in TO=matrix-results; KERNELS=, QEMUS=, DRIVERS=, PARTS= lists"
	@echo "  matrix-compare OLD=folder NEW=folder  what newly fails, passes, flaps, got slower"
	@echo "  suites     other people's tests on both drivers, and what differs; WHAT=fio,pgbench;"
	@echo "             BLKTESTS=, XFSTESTS=, LIBURING= folders with what was built; ONLY=tests"
	@echo "  scripts/bisect-run TEST  for git bisect run in a kernel's tree, or QEMU's"
	@echo
	@echo "Q=7.2 chooses a QEMU by its version, VBL_QEMU=command any other."
	@echo "DRIVER=upstream runs check, conformance, trust and bench with that driver."
	@echo "K=6.1 (a series, a release, or a folder with a kernel) or KDIR=folder"
	@echo "chooses the kernel:"
	@$(GUEST) kernels | sed 's/^/  /'

.PHONY: module kdir-there clean install uninstall deb setup run shell check check-all
.PHONY: kernels unit fuzz fuzz-ring trust soak powercut conformance
.PHONY: conformance-mutants bench bench-compare style help
.PHONY: ring exits samples
.PHONY: chosen
.PHONY: matrix matrix-compare
.PHONY: suites upstream
.PHONY: journey journey-diff probe-story
.PHONY: dropin
.PHONY: ports
.PHONY: lessons lesson-check docs
.PHONY: dropin lessons lesson-check docs
