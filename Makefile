# weft: `make demo` sets a machine up and builds scenario S1 in the lab;
# `make test` passes the tests. Both install what they need with apt.

GO        ?= go
INVENTORY ?= inventories/lab.hcl
PLAYBOOK  ?= playbooks/ovn-l2-overlay.hcl
ARCHES    := amd64 arm64
RUNNERS   := $(ARCHES:%=engine/control/push/runners/weft-runner-linux-%.gz)
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
SOURCES   := $(shell find cmd engine modules -name '*.go' ! -name '*_test.go') go.mod go.sum

# What the lab and its tests need of Debian or Ubuntu.
PACKAGES := mmdebstrap systemd-container apt-utils ethtool iproute2 openssh-client openssh-server sudo ansible-core

.PHONY: build test unit lab-test lint bench demo setup reference clean

build: bin/weft

bin/weft: $(RUNNERS) $(SOURCES) $(shell find testlab -name '*.go' ! -name '*_test.go')
	$(GO) build -trimpath -o $@ ./cmd/weft

# The runner is static and stripped; gzip without name and time, so that equal
# sources make equal bytes. Its digest beside it is its address on hosts.
engine/control/push/runners/weft-runner-linux-%.gz: $(SOURCES)
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/weft-runner-$* ./cmd/weft-runner
	sha256sum bin/weft-runner-$* | cut -d" " -f1 > $(@:.gz=.sha256)
	gzip -9nc bin/weft-runner-$* > $@.tmp && mv $@.tmp $@

# Packages that are missing are installed; as root, or by sudo.
setup:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	  $$sudo apt-get -qq update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; \
	fi

demo: setup build
	sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	$$sudo bin/weft lab up -i $(INVENTORY) && $$sudo bin/weft apply -y $(PLAYBOOK) -i $(INVENTORY)

test: setup build lint unit lab-test

unit:
	$(GO) vet ./...
	$(GO) test -short ./...

# One lab after the other, and nothing else beside them: they share addresses.
lab-test: build
	$(GO) test -count=1 -timeout 40m -p 1 ./testlab/...

bench: setup build
	$(GO) test -run '^$$' -bench . -benchtime 20x ./engine/onhost ./engine/language ./engine/control/...
	$(GO) test -run '^$$' -bench . -benchtime 20x -timeout 30m ./testlab/acceptance

lint:
	$(GO) run $(LINT) run

reference: build
	bin/weft modules --markdown > docs/reference.md

clean:
	rm -rf bin $(RUNNERS) $(RUNNERS:.gz=.sha256)
