# The tracker and the pages in a real browser: `make test-browser`. `make test` has none of it.

# Pinned: axe-core finds what keeps people from using a page, acorn says of which year JavaScript is.
AXE := 4.14.1
ACORN := 8.19.0
BROWSER := $(CURDIR)/.tools/browser

.PHONY: browser-tools test-browser

test-browser: browser-tools
	$(BIN)/python -m pytest -q tests/browser

# Debian's Chromium is installed when this is root; else, and elsewhere, the command is told.
browser-tools: .venv/browsing $(BROWSER)/$(AXE)-$(ACORN)
	@command -v chromium > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
			&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } \
		|| { echo "the tests need Chromium: as root, apt-get install chromium" >&2; exit 1; }

.venv/browsing: .venv/developing requirements-browser.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-browser.txt
	@touch $@

$(BROWSER)/$(AXE)-$(ACORN):
	@command -v npm > /dev/null || { echo "the tests need Node.js with npm: on Debian, apt-get install npm" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(BROWSER) axe-core@$(AXE) acorn@$(ACORN)
	@touch $@
