package ovs_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

// hypervisor is a machine with two NUMA nodes of two processors and pages of 2M
// each, a NIC of DPDK on the second, and an ovs-vswitchd that was built with DPDK.
func hypervisor(pages0, pages1 int) *fake.Machine {
	m := machine()
	m.AddNodes(fake.Memory{TotalKB: 1 << 22, FreeKB: 1 << 22}, fake.Memory{TotalKB: 1 << 22, FreeKB: 1 << 22})
	m.SetHugepages(0, 2048, pages0)
	m.SetHugepages(1, 2048, pages1)
	m.SetKernel("/sys/devices/system/cpu/online", "0-3")
	m.SetKernel("/sys/devices/system/cpu/isolated", "1,3")
	m.SetKernel("/sys/devices/system/node/node0/cpulist", "0-1")
	m.SetKernel("/sys/devices/system/node/node1/cpulist", "2-3")
	m.AddPCI(fake.PCIDevice{Address: "0000:08:00.0", Vendor: "8086", Model: "1528", Class: "020000", Native: "ixgbe", Group: "7", Driver: "vfio-pci"})
	m.SetKernel("/sys/bus/pci/devices/0000:08:00.0/numa_node", "1")
	m.Program("ovs-vswitchd", builtWith("DPDK 22.11.11"))
	m.OnAsk(pollsAll)
	return m
}

func builtWith(more string) fake.Program {
	return func(*fake.Machine, host.Command) host.Result {
		return host.Result{Stdout: []byte("ovs-vswitchd (Open vSwitch) 3.1.0\n" + more + "\n")}
	}
}

// pollsAll is an ovs-vswitchd whose one thread polls every port of DPDK.
func pollsAll(m *fake.Machine, daemon, command string, _ []string) (string, error) {
	if command != "dpif-netdev/pmd-rxq-show" {
		return "", &host.DaemonError{Daemon: daemon, Command: command, Said: "no such command"}
	}
	said := "pmd thread numa_id 0 core_id 1:\n  isolated : false\n"
	for _, i := range m.Rows(host.OpenVSwitch, "Interface") {
		if strings.HasPrefix(row.String(i, "type"), "dpdk") {
			said += fmt.Sprintf("  port: %-16s  queue-id:  0 (enabled)   pmd usage: NOT AVAIL\n", row.String(i, "name"))
		}
	}
	return said + "  overhead: NOT AVAIL\n", nil
}

func dpdk(pairs ...string) ovs.ConfigSpec {
	return ovs.ConfigSpec{OtherConfig: keys(append([]string{"dpdk-init", "true"}, pairs...)...)}
}

func TestDPDKConfigLaws(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("needs an ovs-vswitchd with DPDK; the scenario of a hypervisor shows it there")
	}
	laws(t, steptest.Subject{
		Kind:    kind(t, "ovs_config"),
		Policy:  []string{"external_ids", "managers"}, // TestConfigLaws
		Machine: func() *fake.Machine { return hypervisor(1024, 1024) },
		Found: []steptest.Hand{
			{Name: "fresh"},
			{Name: "DPDK at work", Fake: func(m *fake.Machine) {
				ovsVsctl(m, []string{"set", "open_vswitch", ".", "other_config:dpdk-init=true", "other_config:dpdk-socket-mem=512,0"})
				m.Systemctl(host.Restart, "ovs-vswitchd.service")
			}},
		},
		Cases: []steptest.Case{{
			Name: "whole", Spec: dpdk("dpdk-socket-mem", "1024,1024", "pmd-cpu-mask", "0xa"),
			Drift: []steptest.Hand{
				vsctl("other_config.dpdk-socket-mem", "set", "open_vswitch", ".", "other_config:dpdk-socket-mem=1024,0"),
				vsctl("other_config.pmd-cpu-mask", "remove", "open_vswitch", ".", "other_config", "pmd-cpu-mask"),
				{Name: "other_config.dpdk-init", Fake: func(m *fake.Machine) {
					ovsVsctl(m, []string{"set", "open_vswitch", ".", "other_config:dpdk-init=false"})
					m.Systemctl(host.Restart, "ovs-vswitchd.service")
				}},
			},
		}},
	})
}

func TestDPDKNeedsGround(t *testing.T) {
	busy := func(pages0, pages1 int) *fake.Machine { return hypervisor(pages0, pages1) }
	withGuest := func(xml string, autostart bool) *fake.Machine {
		m := busy(1024, 1024)
		m.AddLibvirt()
		m.Define(host.VirtualDomain, "g1", xml)
		if autostart {
			m.Virsh(host.VirtualAutostart, host.VirtualDomain, "g1")
		}
		return m
	}
	const pinned = `<domain type="kvm"><name>g1</name><memory unit="GiB">1</memory><memoryBacking><hugepages/></memoryBacking><numatune><memory mode="strict" nodeset="1"/></numatune><os><type>hvm</type></os></domain>`
	plain := strings.ReplaceAll(pinned, "<memoryBacking><hugepages/></memoryBacking>", "")
	other := func(m *fake.Machine) *fake.Machine { m.Program("ovs-vswitchd", builtWith("")); return m }
	for _, tt := range []struct {
		name string
		m    *fake.Machine
		spec ovs.ConfigSpec
		says string // of an error; none where empty
	}{
		{"enough", busy(512, 512), dpdk("dpdk-socket-mem", "1024,1024"), ""},
		{"one node is short", busy(512, 256), dpdk("dpdk-socket-mem", "1024,1024"), "node 1: wanted 1024 MB (dpdk-socket-mem 1024), got 512 MB"},
		{"a node that is not there", busy(512, 512), dpdk("dpdk-socket-mem", "0,0,64"), "node 2: wanted 64 MB, and this host has no such node"},
		{"no pages at all", busy(0, 0), dpdk(), "the host: none is free"},
		{"no pages, and none wanted", busy(0, 0), dpdk("dpdk-extra", "--no-pci --no-huge -m 512"), ""},
		{"what dpdk-extra says wins", busy(512, 256), dpdk("dpdk-socket-mem", "64,64", "dpdk-extra", "--socket-mem 64,1024"), "node 1: wanted 1024 MB"},
		{"a guest that starts with the host", withGuest(pinned, true), dpdk("dpdk-socket-mem", "1024,1536"), "node 1: wanted 2560 MB (dpdk-socket-mem 1536, guest g1 1024), got 2048 MB"},
		{"a guest that does not", withGuest(pinned, false), dpdk("dpdk-socket-mem", "1024,1536"), ""},
		{"a guest without huge pages", withGuest(plain, true), dpdk("dpdk-socket-mem", "1024,1536"), ""},
		{"a processor that is not there", busy(512, 512), dpdk("pmd-cpu-mask", "0x33"), "4-5 of them are not online: this host has 0-3"},
		{"built without", other(busy(512, 512)), dpdk(), "built without DPDK"},
		{"no list", busy(512, 512), dpdk("dpdk-socket-mem", "1G"), "no list of megabytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := made(t, "ovs_config", tt.spec).Check(t.Context(), tt.m.Host().View())
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%v does not say %q", err, tt.says)
			case strings.Contains(tt.says, "wanted") && !errors.Is(err, step.ErrNotYet):
				t.Errorf("%v may be mended by an earlier step", err)
			}
		})
	}
}

// TestDPDKKeepsItsOwnPages: what ovs-vswitchd has it gives back as it stops, but for
// the memory of guests that it shares.
func TestDPDKKeepsItsOwnPages(t *testing.T) {
	m := hypervisor(512, 0)
	m.UseHugepages(0, 2048, 512)
	pid := m.UnitState("ovs-vswitchd.service").MainPID
	maps := "7f0000000000 default file=/dev/hugepages/rtemap_0 huge dirty=400 N0=400 kernelpagesize_kB=2048\n" +
		"7f1000000000 default file=/dev/hugepages/libvirt/qemu/1-g1/ram huge dirty=112 N0=112 kernelpagesize_kB=2048\n"
	m.SetKernel(fmt.Sprintf("/proc/%d/numa_maps", pid), maps)
	if _, err := made(t, "ovs_config", dpdk("dpdk-socket-mem", "800")).Check(t.Context(), m.Host().View()); err != nil {
		t.Error(err)
	}
	if _, err := made(t, "ovs_config", dpdk("dpdk-socket-mem", "801")).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "got 800 MB") {
		t.Errorf("801 MB of 800: %v", err)
	}
}

func TestDPDKWarnings(t *testing.T) {
	m := hypervisor(512, 512)
	f := check(t, m, made(t, "ovs_config", dpdk("dpdk-socket-mem", "512", "pmd-cpu-mask", "0x3", "dpdk-lcore-mask", "0x1")))
	for _, want := range []string{
		"processors 0 of pmd-cpu-mask are not isolated", "processors 0 are in pmd-cpu-mask and in dpdk-lcore-mask",
		"NIC 0000:08:00.0 lies on node 1 (processors 2-3), and pmd-cpu-mask has none", "dpdk-socket-mem has no memory there",
	} {
		if !slices.ContainsFunc(f.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("no warning that %s: %q", want, f.Warnings)
		}
	}
	s := made(t, "ovs_config", dpdk("dpdk-socket-mem", "512,512", "pmd-cpu-mask", "0xa"))
	if f := check(t, m, s); len(f.Warnings) > 0 {
		t.Errorf("warnings %q", f.Warnings)
	}
}

// TestAnotherDatapathNamesItsGuests: those that run with a card on the bridge, and
// no others; also where no libvirtd answers.
func TestAnotherDatapathNamesItsGuests(t *testing.T) {
	m := hypervisor(512, 512)
	m.AddLibvirt()
	ovsVsctl(m, []string{"add-br", homeName, "--", "set", "bridge", homeName, "datapath_type=netdev"})
	ovsVsctl(m, []string{"add-br", otherName})
	ovsVsctl(m, []string{"add-port", homeName, "vhuc0", "--", "set", "interface", "vhuc0", "type=dpdkvhostuserclient", "options:vhost-server-path=/run/vhost/g1.sock"})
	define := func(name, card string) {
		m.Define(host.VirtualDomain, name, fmt.Sprintf(`<domain type="kvm"><name>%s</name><memory>1024</memory><os><type>hvm</type></os><devices>%s</devices></domain>`, name, card))
		m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	}
	const nic = `<interface type="%s"><mac address="52:54:00:00:00:%s"/><source %s/>%s</interface>`
	define("vhost", fmt.Sprintf(nic, "vhostuser", "01", `type="unix" path="/run/vhost/g1.sock" mode="server"`, ""))
	define("tap", fmt.Sprintf(nic, "bridge", "02", `bridge="`+homeName+`"`, `<virtualport type="openvswitch"/>`))
	define("beside", fmt.Sprintf(nic, "bridge", "03", `bridge="`+otherName+`"`, `<virtualport type="openvswitch"/>`))
	bridge := func(name, datapath string) step.Finding {
		return check(t, m, made(t, "ovs_bridge", ovs.BridgeSpec{Name: name, DatapathType: step.Is(datapath)}))
	}
	if f := bridge(homeName, "system"); !slices.Equal(f.Cost.Guests, []string{"tap", "vhost"}) || f.Cost.Disruption == "" {
		t.Errorf("it hits %q: %s", f.Cost.Guests, f.Cost.Disruption)
	}
	if f := bridge(otherName, "netdev"); !slices.Equal(f.Cost.Guests, []string{"beside"}) {
		t.Errorf("the other one hits %q", f.Cost.Guests)
	}
	if f := bridge(homeName, "netdev"); len(f.Cost.Guests) > 0 {
		t.Errorf("without a change %q are hit", f.Cost.Guests)
	}
	m = hypervisor(512, 512)
	ovsVsctl(m, []string{"add-br", homeName})
	m.SetKernel("/proc/77/comm", "qemu-system-x86")
	m.SetKernel("/proc/77/cmdline", "qemu-system-x86_64\x00-name\x00guest=g1,debug-threads=on\x00")
	if f := bridge(homeName, "netdev"); !slices.Equal(f.Cost.Guests, []string{"g1"}) || !slices.ContainsFunc(f.Warnings, func(w string) bool { return strings.Contains(w, "guests unknown") }) {
		t.Errorf("it hits %q, warnings %q", f.Cost.Guests, f.Warnings)
	}
}

// TestDPDKThatDoesNotComeUp: the database asks for it, and ovs-vswitchd says no.
func TestDPDKThatDoesNotComeUp(t *testing.T) {
	m := hypervisor(512, 512)
	s := made(t, "ovs_config", dpdk())
	apply(t, m, s)
	f := check(t, m, s)
	if len(f.Deltas) != 1 || f.Deltas[0].Path != "dpdk_initialized" || len(f.Needs) != 1 {
		t.Errorf("before the restart: %v, needs %v", f.Deltas, f.Needs)
	}
	m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log", "t|00001|dpdk|ERR|of an earlier start\nt|00001|vlog|INFO|opened log file x\nt|00015|dpdk|ERR|EAL: Cannot get hugepage information.\nt|00002|bridge|INFO|well\n")
	said := s.(step.Explainer).Explain(t.Context(), m.Host().View(), f.Needs[0])
	if !strings.Contains(said, "Cannot get hugepage") || strings.Contains(said, "earlier") || strings.Contains(said, "well") {
		t.Errorf("the failure is explained by %q", said)
	}
	m.Systemctl(host.Restart, "ovs-vswitchd.service")
	if f := check(t, m, s); f.Changed() {
		t.Errorf("after the restart: %v", f.Deltas)
	}
}

// dpdkBridge is a hypervisor with DPDK at work and a bridge.
func dpdkBridge(t *testing.T) *fake.Machine {
	t.Helper()
	m := hypervisor(512, 512)
	apply(t, m, made(t, "ovs_config", dpdk()))
	m.Systemctl(host.Restart, "ovs-vswitchd.service")
	ovsVsctl(m, []string{"add-br", homeName, "--", "set", "bridge", homeName, "datapath_type=netdev"})
	return m
}

func TestDPDKPortThatNobodyPolls(t *testing.T) {
	m := dpdkBridge(t)
	spec := ovs.PortSpec{Name: "dpdk0", Bridge: homeName, Type: step.Is("dpdk"), Options: keys("dpdk-devargs", "0000:08:00.0")}
	s := made(t, "ovs_port", spec)
	m.WriteFile("/var/log/openvswitch/ovs-vswitchd.log", "t|1|dpdk|WARN|EAL: 0000:08:00.0 is odd\nt|2|dpdk|WARN|EAL: 0000:08:00.1 is not\n")
	m.OnAsk(func(*fake.Machine, string, string, []string) (string, error) {
		return "pmd thread numa_id 0 core_id 1:\n", nil
	})
	err := s.Apply(t.Context(), m.Host(), check(t, m, s))
	if err == nil || !strings.Contains(err.Error(), "no thread polls") || !strings.Contains(err.Error(), "0000:08:00.0 is odd") || strings.Contains(err.Error(), "08:00.1") {
		t.Errorf("%v", err)
	}
	if f := check(t, m, s); len(f.Deltas) == 0 || f.Deltas[0].Path != "state" {
		t.Errorf("the port was left: %v", f.Deltas)
	}
	m.OnAsk(pollsAll)
	apply(t, m, s)
	if f := check(t, m, s); f.Changed() {
		t.Errorf("%v", f.Deltas)
	}
	m.OnAsk(func(*fake.Machine, string, string, []string) (string, error) { return "", nil })
	if f := check(t, m, s); len(f.Deltas) != 1 || f.Deltas[0].Path != "error" {
		t.Errorf("a port that is polled no more is found as %v", f.Deltas)
	}
}

func TestProbeDPDKPort(t *testing.T) {
	m := dpdkBridge(t)
	apply(t, m, made(t, "ovs_port", ovs.PortSpec{Name: "dpdk0", Bridge: homeName, Type: step.Is("dpdk"), Options: keys("dpdk-devargs", "0000:08:00.0")}))
	const guest = "52:54:00:00:00:0A"
	learnt := "    7     0  52:54:00:00:00:0a    3"
	m.OnAsk(func(m *fake.Machine, daemon, command string, args []string) (string, error) {
		if command == "fdb/show" {
			return " port  VLAN  MAC                Age\n" + learnt + "\n", nil
		}
		return pollsAll(m, daemon, command, args)
	})
	probe := func(spec ovs.DPDKPortSpec) (step.Report, error) {
		spec.Port, spec.Timeout = "dpdk0", "1ms"
		return probed(t, m, "probe_dpdk_port", spec)
	}
	if _, err := probe(ovs.DPDKPortSpec{Received: true}); err == nil || !strings.Contains(err.Error(), "none since ovs-vswitchd started") {
		t.Errorf("no packets: %v", err)
	}
	if _, err := probe(ovs.DPDKPortSpec{MACs: []string{guest}}); err == nil || !strings.Contains(err.Error(), "learnt it behind OpenFlow port 7") {
		t.Errorf("behind another port: %v", err)
	}
	learnt = "    1   300  52:54:00:00:00:0a    3"
	if r, err := probe(ovs.DPDKPortSpec{MACs: []string{guest}}); err != nil || !strings.HasPrefix(r.Summary, "1 queues polled") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := probed(t, m, "probe_dpdk_port", ovs.DPDKPortSpec{Port: homeName, Timeout: "1ms"}); err == nil || !strings.Contains(err.Error(), `of type "internal"`) {
		t.Errorf("a port of another type: %v", err)
	}
	if _, err := probed(t, m, "probe_dpdk_port", ovs.DPDKPortSpec{Port: "dpdk9", Timeout: "1ms"}); err == nil || !strings.Contains(err.Error(), "none of that name") {
		t.Errorf("no port: %v", err)
	}
}
