# The tests of the aws room, against real servers on loopback: `make test-scale`. `make test` has none of them.

# Pinned: each is what the tests were written against. Trino needs Java 24 or newer.
VERSITYGW := v1.8.0
KINESIS_LOCAL := 0.6.2
TRINO := 476
TOOLS := $(CURDIR)/.tools

# Of torture-scale: batches put while sinks are killed, at least so often.
BATCHES ?= 20000
KILLS_OF_SINKS ?= 200

.PHONY: scale-tools test-scale torture-scale aws-smoke

test-scale: scale-tools
	TORTURE=1 $(BIN)/python -m pytest -q tests/scale

torture-scale: scale-tools
	TORTURE=1 BATCHES=$(BATCHES) KILLS=$(KILLS_OF_SINKS) SEED=$(SEED) PUBLISH=$(PUBLISH) \
		$(BIN)/python -m pytest -q -s tests/scale/test_sinks.py

# Once against an AWS account: BUCKET is one of yours, FIND a Trino in the place of Athena (tests/scale/smoke.py).
aws-smoke: .venv/scaling
	$(BIN)/python -m tests.scale.smoke --bucket $(or $(BUCKET),$(error name a bucket: make aws-smoke BUCKET=NAME)) \
		$(if $(FIND),--find $(FIND))

# $(call debian,COMMAND,PACKAGES,SENTENCE): what is missing comes from Debian when this is root; else the sentence is told.
define debian
	@command -v $(1) > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
			&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) > /dev/null; } \
		|| { echo "$(3)" >&2; exit 1; }
endef

# The rest comes from the registries of Go, npm, Maven and Python into .tools and .venv.
scale-tools: .venv/scaling .venv/browsing $(TOOLS)/versitygw-$(VERSITYGW) $(TOOLS)/kinesis-local-$(KINESIS_LOCAL) $(TOOLS)/trino-$(TRINO)

.venv/scaling: .venv/developing requirements-scale.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-scale.txt
	@touch $@

$(TOOLS)/versitygw-$(VERSITYGW):
	$(call debian,go,golang-go,versitygw is built with Go: install 1.26 or newer)
	GOBIN=$(TOOLS)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

$(TOOLS)/kinesis-local-$(KINESIS_LOCAL):
	$(call debian,npm,npm,kinesis-local needs Node.js 20 or newer with npm: install it)
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/npm kinesis-local@$(KINESIS_LOCAL)
	@touch $@

# Of Trino's plugins only Iceberg's is kept; in the archive it is made of links to the others, so all are unpacked first.
$(TOOLS)/trino-$(TRINO):
	$(call debian,mvn,maven,Trino is fetched by Maven: install it (on Debian: apt-get install maven))
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
		-Dartifact=io.trino:trino-server:$(TRINO):tar.gz -DoutputDirectory=$(TOOLS)/mvn
	rm -rf $(TOOLS)/trino && mkdir -p $(TOOLS)/trino
	tar -xzf $(TOOLS)/mvn/trino-server-$(TRINO).tar.gz -C $(TOOLS)/trino --strip-components 1 \
		trino-server-$(TRINO)/lib trino-server-$(TRINO)/plugin
	find $(TOOLS)/trino/plugin -mindepth 1 -maxdepth 1 ! -name iceberg -exec rm -r {} +
	rm -r $(TOOLS)/mvn
	@touch $@
