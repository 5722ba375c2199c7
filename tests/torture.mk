# The tests of docs/PROMISES.md with the counts that it publishes: hours in all, each part alone, each count to be given,
# like `make torture-kills KILLS=50 SEED=7`. Their numbers go to docs/promises/, to another folder with PUBLISH=FOLDER, or
# nowhere with PUBLISH= (empty).
# As root on Linux: they mount file systems and trace processes.

KILLS ?= 500
CUTS ?= 300
LIES ?= 10
STRIDE ?= 1
AGAIN ?= 2
AGAIN_STRIDE ?= 3
SCENARIOS ?=
FULLS ?= 20
DAMAGES ?= 300
RETRIES ?= 1000000
PAIRS ?= 100000
WALKS ?= 10000
MODEL ?= 500
STEPS ?= 40
EXAMPLES ?= 100000
FORGETS ?= 30
EVERY ?= 1
SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
PUBLISH ?= docs/promises
MORE ?=

TORTURE_PARTS := kills cuts syscalls errors disk damage retries reads model filters forget
TORTURING = TORTURE=1 SEED=$(SEED) PUBLISH=$(PUBLISH) $(BIN)/python -m pytest -q -s --hypothesis-seed=$(SEED) \
	-m "torture or not torture"

.PHONY: promises $(TORTURE_PARTS:%=torture-%)

torture: $(TORTURE_PARTS:%=torture-%)

# The numbers of docs/promises/ into docs/PROMISES.md; first those of the runs in the folders MORE are added to them.
promises: .venv/developing
	$(BIN)/python -m tests.promises $(MORE)

# Some minutes of it; `make test` has the short form of the filters.
torture-short:
	$(MAKE) $(patsubst %,torture-%,$(filter-out filters,$(TORTURE_PARTS))) PUBLISH= \
		KILLS=20 CUTS=5 LIES=1 STRIDE=23 AGAIN=0 FULLS=1 DAMAGES=4 RETRIES=50000 PAIRS=1600 WALKS=100 MODEL=5 STEPS=12 \
		FORGETS=10 EVERY=9

# What a fresh Debian lacks is installed when this is root; else, and elsewhere, the command is told.
torture-tools:
	@lacking=; for pair in strace:strace mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs mount:mount; do \
		PATH=$$PATH:/sbin:/usr/sbin command -v $${pair%:*} > /dev/null || lacking="$$lacking $${pair#*:}"; done; \
	[ -z "$$lacking" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$lacking; } \
		|| { echo "this machine lacks$$lacking: as root, apt-get install$$lacking" >&2; exit 1; }

torture-kills: .venv/developing
	KILLS=$(KILLS) $(TORTURING) tests/crash/test_kill.py

torture-cuts: .venv/developing torture-tools
	CUTS=$(CUTS) LIES=$(LIES) $(TORTURING) tests/crash/test_cut.py

torture-syscalls: .venv/developing torture-tools
	STRIDE=$(STRIDE) AGAIN=$(AGAIN) AGAIN_STRIDE=$(AGAIN_STRIDE) SCENARIOS="$(SCENARIOS)" $(TORTURING) tests/crash/test_syscalls.py

torture-errors: .venv/developing torture-tools
	$(TORTURING) tests/crash/test_fsync.py
	$(TORTURING) tests/crash/test_trouble.py -k "slow or error"

torture-disk: .venv/developing torture-tools
	FULLS=$(FULLS) $(TORTURING) tests/crash/test_trouble.py -k full

torture-damage: .venv/developing
	DAMAGES=$(DAMAGES) $(TORTURING) tests/crash/test_damage.py

torture-retries: .venv/developing
	RETRIES=$(RETRIES) $(TORTURING) tests/crash/test_retry.py -k retries

torture-reads: .venv/developing
	PAIRS=$(PAIRS) WALKS=$(WALKS) $(TORTURING) tests/crash/test_retry.py -k "at_once or pages"

torture-model: .venv/developing
	MODEL=$(MODEL) STEPS=$(STEPS) $(TORTURING) tests/crash/test_model.py

torture-filters: .venv/developing
	EXAMPLES=$(EXAMPLES) $(TORTURING) tests/unit/test_filters.py -k "list_comprehension or properties"

torture-forget: .venv/developing
	FORGETS=$(FORGETS) $(TORTURING) tests/system/test_forget.py -k under_load
	EVERY=$(EVERY) $(TORTURING) tests/crash/test_steps.py -k "forgetting or summarising"
