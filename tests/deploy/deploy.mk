# What stands in deploy/, run as far as a machine without containers can: `make test-deploy`. `make test` has none of it.

.PHONY: test-deploy deploy-tools

test-deploy: deploy-tools
	$(BIN)/python -m pytest -q tests/deploy tests/docs/test_deploy.py

# What a fresh Debian lacks is installed when this is root; else, and elsewhere, the command is told.
deploy-tools: .venv/developing
	@lacking=; for pair in nginx:nginx-light caddy:caddy promtool:prometheus systemd-analyze:systemd openssl:openssl; do \
		PATH=$$PATH:/sbin:/usr/sbin command -v $${pair%:*} > /dev/null || lacking="$$lacking $${pair#*:}"; done; \
	[ -z "$$lacking" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
			&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$lacking; } \
		|| { echo "this machine lacks$$lacking: as root, apt-get install$$lacking" >&2; exit 1; }
