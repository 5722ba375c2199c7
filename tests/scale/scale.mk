# The tests of the aws room, against real servers on loopback: `make test-scale`. `make test` has none of them.

# Pinned: each is what the tests were written against. Trino needs Java 24 or newer.
VERSITYGW := v1.8.0
KINESIS_LOCAL := 0.6.2
TRINO := 476
TOOLS := $(CURDIR)/.tools

# Of torture-scale: batches put while sinks are killed, at least so often.
BATCHES ?= 20000
KILLS_OF_SINKS ?= 200

.PHONY: scale-tools test-scale torture-scale

test-scale: scale-tools
	TORTURE=1 $(BIN)/python -m pytest -q tests/scale

torture-scale: scale-tools
	TORTURE=1 BATCHES=$(BATCHES) KILLS=$(KILLS_OF_SINKS) SEED=$(SEED) PUBLISH=$(PUBLISH) \
		$(BIN)/python -m pytest -q -s tests/scale/test_sinks.py

# What a fresh Debian lacks is told; the rest comes from the registries of Go, npm, Maven and Python into .tools and .venv.
scale-tools: .venv/scaling $(TOOLS)/versitygw-$(VERSITYGW) $(TOOLS)/kinesis-local-$(KINESIS_LOCAL) $(TOOLS)/trino-$(TRINO)

.venv/scaling: .venv/developing requirements-scale.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-scale.txt
	@touch $@

$(TOOLS)/versitygw-$(VERSITYGW):
	@command -v go > /dev/null || { echo "versitygw is built with Go 1.26 or newer: install it" >&2; exit 1; }
	GOBIN=$(TOOLS)/bin go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

$(TOOLS)/kinesis-local-$(KINESIS_LOCAL):
	@command -v npm > /dev/null || { echo "kinesis-local needs Node.js 20 or newer with npm: install it" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/npm kinesis-local@$(KINESIS_LOCAL)
	@touch $@

# Of Trino's plugins only Iceberg's is kept; in the archive it is made of links to the others, so all are unpacked first.
$(TOOLS)/trino-$(TRINO):
	@command -v mvn > /dev/null || { echo "Trino is fetched by Maven: install it (on Debian: apt-get install maven)" >&2; exit 1; }
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
		-Dartifact=io.trino:trino-server:$(TRINO):tar.gz -DoutputDirectory=$(TOOLS)/mvn
	rm -rf $(TOOLS)/trino && mkdir -p $(TOOLS)/trino
	tar -xzf $(TOOLS)/mvn/trino-server-$(TRINO).tar.gz -C $(TOOLS)/trino --strip-components 1 \
		trino-server-$(TRINO)/lib trino-server-$(TRINO)/plugin
	find $(TOOLS)/trino/plugin -mindepth 1 -maxdepth 1 ! -name iceberg -exec rm -r {} +
	rm -r $(TOOLS)/mvn
	@touch $@
