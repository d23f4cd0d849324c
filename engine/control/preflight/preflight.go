// Package preflight judges hosts before anything is touched: from their facts,
// from what the plan pass found, and from a comparison of the hosts with one
// another it says what would go wrong. It is pure; package run asks the hosts.
//
// What one step needs (an IOMMU, memory for huge pages, a boot entry for one
// boot) is judged by that step's own check, so it is said in one place, and a
// plan says it too. What no step can know is here: twins, clocks, disks, MTUs.
package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"weft/engine/control/run"
	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// Severity is how much a finding matters.
type Severity string

// The severities.
const (
	Problem Severity = "problem" // the playbook fails, or what it builds does
	Warning Severity = "warning" // it may
)

// A Finding is one thing that would go wrong.
type Finding struct {
	Host     string   `json:"host"`
	Severity Severity `json:"severity"`
	Step     string   `json:"step,omitempty"` // address of the step that it is about
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"` // why it matters
	Do       string   `json:"do,omitempty"`  // what to do about it
}

// A Host is what was learnt of one.
type Host struct {
	Name    string
	Facts   *host.Facts
	Ahead   time.Duration // of its clock, see [run.Surveyed]
	Planned []run.Planned
	Units   []step.Unit
}

// Judge returns what it finds, host by host in the order given, problems first.
func Judge(hosts []Host) []Finding {
	var all []Finding
	for _, h := range hosts {
		all = append(all, h.steps()...)
		all = append(all, h.machine()...)
		all = append(all, h.disks()...)
		all = append(all, h.clock()...)
		all = append(all, h.tunnels()...)
	}
	all = append(all, twins(hosts)...)
	all = append(all, mtus(hosts)...)
	order := map[string]int{}
	for i, h := range hosts {
		order[h.Name] = i
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Host], order[b.Host]), cmp.Compare(a.Severity, b.Severity))
	})
	return all
}

// steps are what the checks said.
func (h Host) steps() []Finding {
	var all []Finding
	for _, p := range h.Planned {
		if p.State == wire.Failed {
			all = append(all, Finding{Host: h.Name, Severity: Problem, Step: p.Address, What: p.Reason,
				Why: "the step would fail, and with it the host's part of the play"})
		}
		if p.Finding == nil {
			continue
		}
		for _, w := range p.Finding.Warnings {
			all = append(all, Finding{Host: h.Name, Severity: Warning, Step: p.Address, What: w})
		}
		if why := p.Finding.Cost.Irreversible; why != "" && p.Finding.Changed() {
			all = append(all, Finding{Host: h.Name, Severity: Warning, Step: p.Address, What: "cannot be undone: " + why,
				Why: "where a later step fails, this one stays"})
		}
	}
	return all
}

// machine is about what the host is.
func (h Host) machine() []Finding {
	var all []Finding
	add := func(s Severity, what, why, do string) {
		all = append(all, Finding{Host: h.Name, Severity: s, What: what, Why: why, Do: do})
	}
	named := cmp.Or(h.Facts.Distribution, "a system without os-release")
	switch h.Facts.Family {
	case "debian":
	case "redhat":
		add(Warning, "it runs "+named+" "+h.Facts.Version, "weft is tested on Debian; of Red Hat's family as far as its tools run there", "look through the plan, and try it on one host first")
	default:
		add(Problem, "it runs "+named+" "+h.Facts.Version+", which weft does not know", "packages, boot loader and network files differ from one family to another", "use a distribution of Debian's or Red Hat's family")
	}
	if h.Facts.MachineID == "" {
		add(Problem, "it has no machine-id", "systemd, DHCP and OVN tell hosts apart by it", "run systemd-machine-id-setup on it")
	}
	return all
}

const (
	tight = 64   // MB: too little for journals and an apt that works
	small = 1024 // MB: little for packages
	boot  = 100  // MB: a kernel and its initramfs
)

// disks are about room.
func (h Host) disks() []Finding {
	var all []Finding
	root := h.Facts.FileSystems["/"]
	for _, at := range []string{"/", "/boot", "/var"} {
		f := h.Facts.FileSystems[at]
		if f == nil || at != "/" && root != nil && f.SizeMB == root.SizeMB && f.ReadOnly == root.ReadOnly {
			continue // it is no file system of its own
		}
		add := func(s Severity, what, why, do string) {
			all = append(all, Finding{Host: h.Name, Severity: s, What: at + " " + what, Why: why, Do: do})
		}
		left := fmt.Sprintf("has %d of %d MB left", f.FreeMB, f.SizeMB)
		switch {
		case f.ReadOnly:
			add(Problem, "is mounted read-only", "nothing can be written there; a kernel does that to a disk with errors", "look at dmesg, and mount it read-write")
		case at == "/boot" && f.FreeMB < boot:
			add(Warning, left, "an initramfs is written there when kernel packages or modules change", "remove old kernels (apt autoremove)")
		case at == "/boot":
		case f.FreeMB < tight:
			add(Problem, left, "weft keeps there what it takes to undo, and packages are unpacked", "make room")
		case f.FreeMB < small:
			add(Warning, left, "packages take it quickly", "make room")
		}
	}
	return all
}

// skew is by how much clocks may differ.
const skew = 2 * time.Second

// clock is about the time. A container has the clock of its machine.
func (h Host) clock() []Finding {
	var all []Finding
	if d := h.Ahead.Abs(); d > skew {
		way := "ahead of"
		if h.Ahead < 0 {
			way = "behind"
		}
		all = append(all, Finding{Host: h.Name, Severity: Warning, What: fmt.Sprintf("its clock is at least %v %s this machine's", d.Round(100*time.Millisecond), way),
			Why: "certificates, leases of a RAFT cluster and logs go by it", Do: "set it, and have it kept: chrony, systemd-timesyncd"})
	}
	if h.Facts.TimeSync == "" && h.Facts.Virtual != "container" {
		all = append(all, Finding{Host: h.Name, Severity: Warning, What: "no service keeps its clock",
			Why: "clocks drift apart by seconds a day", Do: "install chrony, or start systemd-timesyncd"})
	}
	return all
}
