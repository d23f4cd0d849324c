# weft: `make demo` sets a machine up and builds scenario S1 in the lab;
# `make test` passes the tests. Both install what they need with apt.

GO        ?= go
INVENTORY ?= inventories/lab.hcl
PLAYBOOK  ?= playbooks/ovn-l2-overlay.hcl
ARCHES    := amd64 arm64
RUNNERS   := $(ARCHES:%=engine/control/push/runners/weft-runner-linux-%.gz)
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
SOURCES   := $(shell find cmd engine modules -name '*.go' ! -name '*_test.go') go.mod go.sum

# What the lab needs of Debian or Ubuntu, and what the tests need beside it: an
# sshd to start on ports of their own, and another tool to reach the lab with.
LAB_PACKAGES  := mmdebstrap systemd-container apt-utils ethtool iproute2 openssh-client qemu-system-x86 qemu-utils e2fsprogs ovmf
TEST_PACKAGES := openssh-server sudo ansible-core dnsmasq-base
# What the benchmarks start databases with; neither has a service.
BENCH_PACKAGES := openvswitch-common ovn-common

.PHONY: build test unit lab-test laws chaos lint bench demo setup setup-tests setup-bench reference clean

build: bin/weft

bin/weft: $(RUNNERS) $(SOURCES) $(shell find testlab -name '*.go' ! -name '*_test.go') $(wildcard testlab/guest/*)
	$(GO) build -trimpath -o $@ ./cmd/weft

# The runner is static and stripped, and nothing is inlined in it but the
# standard library: a tenth smaller, and no slower that a benchmark shows. gzip
# without name and time, so that equal sources make equal bytes. Its digest
# beside it is its address on hosts.
SMALL := -gcflags=weft/...=-l -gcflags=github.com/...=-l -gcflags=golang.org/...=-l

engine/control/push/runners/weft-runner-linux-%.gz: $(SOURCES)
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -trimpath -buildvcs=false $(SMALL) -ldflags '-s -w' -o bin/weft-runner-$* ./cmd/weft-runner
	sha256sum bin/weft-runner-$* | cut -d" " -f1 > $(@:.gz=.sha256)
	gzip -9nc bin/weft-runner-$* > $@.tmp && mv $@.tmp $@

# Packages that are missing are installed; as root, or by sudo.
setup: PACKAGES = $(LAB_PACKAGES)
setup-tests: PACKAGES = $(LAB_PACKAGES) $(TEST_PACKAGES)
setup-bench: PACKAGES = $(LAB_PACKAGES) $(BENCH_PACKAGES)
setup setup-tests setup-bench:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	  $$sudo apt-get -qq update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; \
	fi

demo: setup build
	@sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	$$sudo bin/weft lab up -i $(INVENTORY) && $$sudo bin/weft apply -y $(PLAYBOOK) -i $(INVENTORY)

# One package with labs after the other: labs share addresses, and two cores are few. In a
# package all tests may begin at once; those with labs wait for their turn.
test: setup-tests build bin/chaos/weft lint
	$(GO) vet ./...
	$(GO) test -timeout 20m ./cmd/... ./engine/... ./modules/...
	$(GO) test -timeout 60m -p 1 -parallel 32 ./testlab/...

# Seconds, and nothing but Go.
unit:
	$(GO) test -short ./...

lab-test: setup-tests build bin/chaos/weft
	$(GO) test -count=1 -timeout 40m -p 1 -parallel 32 ./testlab/...

# weft with runners that stop at an effect where a test says so, see
# engine/onhost/chaos_on.go. The build puts them in the place of the usual ones.
CHAOS_RUNNER := engine/control/push/runners/weft-runner-linux-$(shell $(GO) env GOARCH)

bin/chaos/weft: bin/weft
	mkdir -p bin/chaos
	CGO_ENABLED=0 GOOS=linux $(GO) build -tags chaos -trimpath -buildvcs=false $(SMALL) -ldflags '-s -w' -o bin/chaos/weft-runner ./cmd/weft-runner
	sha256sum bin/chaos/weft-runner | cut -d" " -f1 > bin/chaos/runner.sha256
	gzip -9nc bin/chaos/weft-runner > bin/chaos/runner.gz
	printf '{"Replace": {"%s.gz": "bin/chaos/runner.gz", "%s.sha256": "bin/chaos/runner.sha256"}}\n' $(CHAOS_RUNNER) $(CHAOS_RUNNER) > bin/chaos/overlay.json
	$(GO) build -overlay bin/chaos/overlay.json -trimpath -o $@ ./cmd/weft

# Every fault at every kind of effect of scenario S1, and twenty times each way
# that the management NIC can go into a bridge: an hour.
chaos: setup-tests build bin/chaos/weft
	WEFT_CHAOS_WHOLE=1 $(GO) test -count=1 -v -timeout 3h -run 'TestChaos|TestGuard' ./testlab/acceptance

# Every way in which a boot with new kernel arguments goes wrong, and power cuts at
# every effect of their trial, on two virtual machines: an hour and a half.
.PHONY: boots
boots: setup-tests build bin/chaos/weft
	WEFT_BOOTS=1 $(GO) test -count=1 -v -timeout 4h -run 'TestBoots|TestPowerCuts' ./testlab/acceptance

# Scenario S6 on virtual machines: a quarter of an hour.
.PHONY: networkmanager
networkmanager: setup-tests build
	WEFT_NETWORKMANAGER=1 $(GO) test -count=1 -v -timeout 1h -run TestNetworkManagerBond ./testlab/acceptance

# DPDK and Open vSwitch with it, built from Debian's source packages, started, upgraded and
# taken away, and two hypervisors with them: half an hour. WEFT_BUILDS=cached takes what the
# last time built: five minutes.
WEFT_BUILDS ?= 1
.PHONY: builds
builds: setup-tests build
	WEFT_BUILDS=$(WEFT_BUILDS) $(GO) test -count=1 -v -timeout 3h -run TestBuilds ./testlab/acceptance

# OVS-DPDK on virtual machines, with VFIO and huge pages: half an hour.
.PHONY: dpdk
dpdk: setup-tests build
	WEFT_DPDK=1 $(GO) test -count=1 -v -timeout 2h -run TestDPDKMachines ./testlab/acceptance

# The laws inside a real host, killed at every effect: an hour.
laws: setup-tests build
	WEFT_LAWS_WHOLE=1 $(GO) test -count=1 -v -timeout 3h -run TestLaws ./testlab/acceptance

# The laws of firewalld, nftables, SELinux' store and AppArmor's files inside a host:
# half an hour.
.PHONY: security
security: setup-tests build
	WEFT_SECURITY=1 $(GO) test -count=1 -v -timeout 3h -run TestLawsOfSecurity ./testlab/acceptance

# The schemas of OVN are in the package that would start OVN on this machine: it is
# unpacked, not installed.
SCHEMAS := bin/ovn/usr/share/ovn/ovn-nb.ovsschema

$(SCHEMAS): | setup-bench
	@mkdir -p bin/ovn && cd bin/ovn && apt-get -qq download ovn-central && dpkg-deb -x ovn-central_*.deb . && rm ovn-central_*.deb

bench: setup-bench build $(SCHEMAS)
	$(GO) test -run '^$$' -bench . -benchtime 10x ./cmd/weft-runner ./engine/onhost ./engine/language ./engine/control/...
	$(GO) test -run '^$$' -bench . -benchtime 20x -timeout 30m ./testlab/acceptance
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./testlab/scale

# Every fault at every effect of every kind and of scenario S1, on machines in
# memory: a quarter of an hour.
.PHONY: chaos-fake
chaos-fake:
	@mkdir -p bin
	WEFT_CHAOS_WHOLE=1 $(GO) test -count=1 -v -timeout 3h -run 'Laws.*/killed$$|Killed' ./modules/... > bin/chaos-fake.log 2>&1; status=$$?; \
	awk '/ injected, .* survived/ {n += $$(NF-3); m += $$(NF-1)} END {print n+0 " injected, " m+0 " survived"}' bin/chaos-fake.log; \
	[ $$status = 0 ] || grep -A8 -e '--- FAIL' -e walk.go bin/chaos-fake.log; exit $$status

# Each fuzzer for a while, one after the other. What one finds it writes below
# testdata/fuzz: commit that with the fix. A time that is over just as the last
# input runs is no find.
FUZZTIME ?= 30s
.PHONY: fuzz
fuzz:
	@mkdir -p bin; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd engine modules testlab | sort); do \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do \
	    echo "$$(dirname $$file) $$f"; \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -parallel 1 ./$$(dirname $$file) > bin/fuzz.log 2>&1 || \
	      { ! grep -q 'Failing input' bin/fuzz.log && grep -q '^    context deadline exceeded$$' bin/fuzz.log; } || { cat bin/fuzz.log; exit 1; }; \
	  done; \
	done

# Operators sit at macOS too.
lint:
	$(GO) run $(LINT) run
	GOOS=darwin $(GO) vet ./cmd/weft

reference: build
	bin/weft modules --markdown > docs/reference.md

clean:
	rm -rf bin $(RUNNERS) $(RUNNERS:.gz=.sha256)
