package preflight

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// sound is a host of which nothing is to be said.
func sound(name string, n int) Host {
	disk := &host.FileSystem{SizeMB: 20480, FreeMB: 15360}
	return Host{Name: name, Facts: &host.Facts{
		Distribution: "debian", Version: "12", Family: "debian", MachineID: "id-" + name, TimeSync: "chrony", Virtual: "none", OVSSystemID: "ovs-" + name,
		FileSystems: map[string]*host.FileSystem{"/": disk, "/boot": disk, "/var": disk},
		PCI:         map[string]*host.PCIDevice{"0000:01:00.0": {Links: map[string]string{"eth1": fmt.Sprintf("52:54:00:00:01:%02x", n)}}},
		Links: map[string]*host.NIC{
			"lo":      {MAC: "00:00:00:00:00:00", MTU: 65536, Addresses: []string{"127.0.0.1/8", "::1/128"}},
			"eth0":    {MAC: fmt.Sprintf("52:54:00:00:00:%02x", n), MTU: 1500, Addresses: []string{fmt.Sprintf("10.0.0.%d/24", n)}},
			"docker0": {MAC: "02:42:ac:11:00:01", MTU: 1500, Addresses: []string{"172.17.0.1/16"}},
			"eth1":    {MAC: fmt.Sprintf("52:54:00:00:01:%02x", n), MTU: 9000},
		},
	}}
}

func TestNothingIsSaidOfSoundHosts(t *testing.T) {
	if got := Judge([]Host{sound("a", 1), sound("b", 2)}); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// Each thing that is wrong is found, on the host that it is wrong on, and says
// why it matters and what to do.
func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(a, b *Host)
		host  string
		as    Severity
		says  string
	}{
		"cloned machine-id": {func(a, b *Host) { b.Facts.MachineID = a.Facts.MachineID }, "b", Problem, "same machine-id as a: id-a"},
		"cloned system-id":  {func(a, b *Host) { b.Facts.OVSSystemID = a.Facts.OVSSystemID }, "b", Problem, "same Open vSwitch system-id as a"},
		"cloned MAC":        {func(a, b *Host) { b.Facts.Links["eth0"].MAC = a.Facts.Links["eth0"].MAC }, "b", Problem, "same MAC as a: 52:54:00:00:00:01"},
		"cloned idle MAC": {func(a, b *Host) {
			b.Facts.PCI["0000:01:00.0"].Links["eth1"] = a.Facts.PCI["0000:01:00.0"].Links["eth1"]
		}, "b", Problem, "same MAC as a: 52:54:00:00:01:01"},
		"no machine-id": {func(a, _ *Host) { a.Facts.MachineID = "" }, "a", Problem, "no machine-id"},
		"MTU":           {func(_, b *Host) { b.Facts.Links["eth0"].MTU = 9000 }, "a", Problem, "eth0 has MTU 1500, and eth0 of b in the same network 10.0.0.0/24 has 9000"},
		"small underlay": {func(a, b *Host) {
			a.Facts.Links["eth0"].MTU, b.Facts.Links["eth0"].MTU = 1400, 1400
			a.Units = []step.Unit{{Address: "ovn_chassis.self", Spec: []byte(`{"encap_ip":"10.9.9.9,10.0.0.1"}`)}, {Address: "x.y", Spec: []byte(`{"encap_ip":5}`)}}
		}, "a", Problem, "eth0, which its tunnels go over, has MTU 1400: Geneve leaves guests 1342"},
		"ahead":       {func(a, _ *Host) { a.Ahead = 90 * time.Second }, "a", Warning, "1m30s ahead of"},
		"behind":      {func(a, _ *Host) { a.Ahead = -3 * time.Second }, "a", Warning, "3s behind"},
		"no time":     {func(a, _ *Host) { a.Facts.TimeSync = "" }, "a", Warning, "no service keeps its clock"},
		"read-only":   {func(a, _ *Host) { a.Facts.FileSystems["/var"] = &host.FileSystem{SizeMB: 9, FreeMB: 9, ReadOnly: true} }, "a", Problem, "/var is mounted read-only"},
		"full":        {func(a, _ *Host) { a.Facts.FileSystems["/var"] = &host.FileSystem{SizeMB: 900, FreeMB: 9} }, "a", Problem, "/var has 9 of 900 MB left"},
		"nearly full": {func(a, _ *Host) { a.Facts.FileSystems["/var"] = &host.FileSystem{SizeMB: 900, FreeMB: 500} }, "a", Warning, "/var has 500 of 900 MB left"},
		"no kernel":   {func(a, _ *Host) { a.Facts.FileSystems["/boot"] = &host.FileSystem{SizeMB: 200, FreeMB: 20} }, "a", Warning, "/boot has 20"},
		"Arch":        {func(a, _ *Host) { a.Facts.Family, a.Facts.Distribution, a.Facts.Version = "arch", "arch", "x" }, "a", Problem, "arch x, which weft does not know"},
		"CentOS":      {func(a, _ *Host) { a.Facts.Family, a.Facts.Distribution = "redhat", "centos" }, "a", Warning, "centos"},
		"refused": {func(a, _ *Host) {
			a.Planned = []run.Planned{{Address: "pci_driver.x", State: wire.Failed, Reason: "vfio-pci needs an IOMMU"}}
		}, "a", Problem, "vfio-pci needs an IOMMU"},
		"warned": {func(a, _ *Host) {
			a.Planned = []run.Planned{{Address: "kernel_cmdline.x", State: wire.Planned, Finding: &step.Finding{Warnings: []string{"grubenv is on LVM"}}}}
		}, "a", Warning, "grubenv is on LVM"},
		"no way back": {func(a, _ *Host) {
			a.Planned = []run.Planned{{Address: "command.x", State: wire.Planned, Finding: &step.Finding{Deltas: []step.Delta{{Path: "run"}}, Cost: step.Cost{Irreversible: "it ran"}}}}
		}, "a", Warning, "cannot be undone: it ran"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sound("a", 1), sound("b", 2)
			tt.spoil(&a, &b)
			got := Judge([]Host{a, b})
			if len(got) != 1 || got[0].Host != tt.host || got[0].Severity != tt.as || !strings.Contains(got[0].What, tt.says) {
				t.Fatalf("got %+v", got)
			}
			if got[0].Step == "" && (got[0].Why == "" || got[0].Do == "") {
				t.Errorf("no word of why, or of what to do: %+v", got[0])
			}
		})
	}
}

// What is no trouble is passed over: small differences of clocks, containers
// without a clock of their own, networks that one host is in alone.
func TestWhatIsNoTrouble(t *testing.T) {
	a, b := sound("a", 1), sound("b", 2)
	a.Ahead = time.Second
	b.Facts.TimeSync, b.Facts.Virtual = "", "container"
	a.Facts.Links["vlan5"] = &host.NIC{MAC: a.Facts.Links["eth0"].MAC, MTU: 1400, Addresses: []string{"10.5.0.1/24", "fe80::1/64", "nonsense"}}
	a.Facts.Links["eth5"] = &host.NIC{MAC: "52:54:00:00:05:01", MTU: 9000, Addresses: []string{"10.5.0.2/24"}}
	a.Planned = []run.Planned{{Address: "x.y", State: wire.Waiting, Reason: "known after apply"}}
	if got := Judge([]Host{a, b}); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestOrder(t *testing.T) {
	b, a := sound("b", 2), sound("a", 1)
	a.Ahead, b.Ahead = time.Minute, time.Minute
	a.Facts.MachineID = ""
	var order []string
	for _, f := range Judge([]Host{b, a}) {
		order = append(order, f.Host+" "+string(f.Severity))
	}
	if got := strings.Join(order, ", "); got != "b warning, a problem, a warning" {
		t.Errorf("got %s", got)
	}
}
