package modules_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
)

// A debian package of the world, and what it puts on a machine.
type debian struct {
	depends []string
	arrive  func(m *fake.Machine)
	leave   func(m *fake.Machine)
}

const (
	dpkgStatus = "/var/lib/dpkg/status"
	aptStates  = "/var/lib/apt/extended_states"
)

// repository is what scenario S1 installs.
func repository() map[string]debian {
	return map[string]debian{
		"openvswitch-switch": {arrive: (*fake.Machine).AddOpenVSwitch, leave: removeOpenVSwitch},
		"ovn-common":         {},
		"ovn-central": {
			depends: []string{"ovn-common"},
			arrive: func(m *fake.Machine) {
				m.AddDatabase(host.Northbound)
				m.AddDatabase(host.Southbound)
				m.OnTransact(serveConnections)
				for _, name := range []string{"ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb", "ovn-northd"} {
					addService(m, name)
				}
			},
			leave: func(m *fake.Machine) {
				for _, name := range []string{"ovn-northd", "ovn-ovsdb-server-sb", "ovn-ovsdb-server-nb"} {
					removeService(m, name)
				}
				m.RemoveDatabase(host.Northbound)
				m.RemoveDatabase(host.Southbound)
				m.RemoveKernel("/proc/net/tcp")
			},
		},
		"ovn-host": {
			depends: []string{"ovn-common", "openvswitch-switch"},
			arrive:  func(m *fake.Machine) { addService(m, "ovn-controller") },
			leave:   func(m *fake.Machine) { removeService(m, "ovn-controller") },
		},
	}
}

func addService(m *fake.Machine, name string) {
	m.WriteFile("/lib/systemd/system/"+name+".service", fake.Service("/usr/bin/"+name))
	m.Systemctl(host.Start, name+".service")
}

func removeService(m *fake.Machine, name string) {
	m.Systemctl(host.Stop, name+".service")
	m.Remove("/lib/systemd/system/" + name + ".service")
}

// removeOpenVSwitch takes the switch away with the links that it made.
func removeOpenVSwitch(m *fake.Machine) {
	for _, i := range m.Rows(host.OpenVSwitch, "Interface") {
		if row.String(i, "type") == "internal" {
			m.RemoveLink("", row.String(i, "name"))
		}
	}
	removeService(m, "ovs-vswitchd")
	removeService(m, "ovsdb-server")
	m.RemoveDatabase(host.OpenVSwitch)
	for _, path := range []string{"/usr/sbin/ovsdb-server", "/usr/sbin/ovs-vswitchd", "/var/log/openvswitch"} {
		m.Remove(path)
	}
}

// serveConnections is ovsdb-server's part: it listens where the southbound
// database says.
func serveConnections(m *fake.Machine) {
	if !m.HasDatabase(host.Southbound) {
		return
	}
	table := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	for i, c := range m.Rows(host.Southbound, "Connection") {
		method, rest, _ := strings.Cut(row.String(c, "target"), ":")
		port, address, _ := strings.Cut(rest, ":")
		a, err := netip.ParseAddr(address)
		var n uint16
		if _, scanned := fmt.Sscanf(port, "%d", &n); method == "ptcp" && err == nil && scanned == nil {
			b := a.As4()
			table += fmt.Sprintf("\n%4d: %02X%02X%02X%02X:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0", i, b[3], b[2], b[1], b[0], n)
		}
	}
	m.SetKernel("/proc/net/tcp", table)
}

// bare is a Debian with apt and two NICs, as the lab's hosts are.
func bare() *fake.Machine {
	m := fake.New()
	m.WriteFile("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	m.WriteFile("/sbin/ifup", "\x7fELF")
	m.WriteFile("/etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
	m.Mkdir("/etc/openvswitch")
	m.Mkdir("/etc/ovn")
	m.AddLink("", host.Link{Name: "eth0", MAC: "52:54:00:00:00:01", Up: true})
	m.AddLink("", host.Link{Name: "eth1", MAC: "52:54:00:00:00:02", Up: true})
	m.WriteFile("/var/lib/apt/lists/lab_Packages", "")
	savePackages(m, map[string]bool{})
	m.Program("apt-get", aptGet)
	m.Program("apt-mark", func(m *fake.Machine, c host.Command) host.Result {
		have := packagesOf(m)
		for _, name := range c.Argv[2:] {
			have[name] = c.Argv[1] == "auto"
		}
		savePackages(m, have)
		return host.Result{}
	})
	m.Program("stat", func(*fake.Machine, host.Command) host.Result { return host.Result{Stdout: []byte("32503680000\n")} })
	m.Program("tail", func(m *fake.Machine, c host.Command) host.Result {
		content, _ := m.File(c.Argv[len(c.Argv)-1])
		return host.Result{Stdout: []byte(content)}
	})
	return m
}

// packagesOf are the installed packages, and whether each came by itself.
func packagesOf(m *fake.Machine) map[string]bool {
	status, _ := m.File(dpkgStatus)
	marks, _ := m.File(aptStates)
	have := map[string]bool{}
	for line := range strings.Lines(status) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Package: "); ok {
			have[name] = strings.Contains(marks, "Package: "+name+"\n")
		}
	}
	return have
}

func savePackages(m *fake.Machine, have map[string]bool) {
	var status, marks strings.Builder
	for _, name := range order(have) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\nDepends: %s\n\n", name, strings.Join(repository()[name].depends, ", "))
		if have[name] {
			fmt.Fprintf(&marks, "Package: %s\nArchitecture: amd64\nAuto-Installed: 1\n\n", name)
		}
	}
	m.WriteFile(dpkgStatus, status.String())
	m.WriteFile(aptStates, marks.String())
}

// order is an order in which packages can be unpacked.
func order(have map[string]bool) []string {
	var names []string
	for _, name := range []string{"openvswitch-switch", "ovn-common", "ovn-central", "ovn-host"} {
		if _, there := have[name]; there {
			names = append(names, name)
		}
	}
	return names
}

// aptGet installs, removes and purges, or says what it would remove.
func aptGet(m *fake.Machine, c host.Command) host.Result {
	var words []string
	simulate := slices.Contains(c.Argv, "-s")
	for i := 1; i < len(c.Argv); i++ {
		if c.Argv[i] == "-o" {
			i++
		} else if !strings.HasPrefix(c.Argv[i], "-") {
			words = append(words, c.Argv[i])
		}
	}
	have := packagesOf(m)
	want := map[string]bool{}
	for name, auto := range have {
		want[name] = auto
	}
	for _, word := range words[1:] {
		name, minus := strings.CutSuffix(word, "-")
		name, _, _ = strings.Cut(name, "=")
		if words[0] == "install" && !minus {
			install(want, name, false)
		} else {
			delete(want, name)
		}
	}
	for name := range want { // what needs what goes, goes along
		for _, need := range repository()[name].depends {
			if _, there := want[need]; !there {
				delete(want, name)
			}
		}
	}
	return exchange(m, have, want, simulate)
}

func install(want map[string]bool, name string, auto bool) {
	for _, need := range repository()[name].depends {
		if _, there := want[need]; !there {
			install(want, need, true)
		}
	}
	want[name] = auto
}

func exchange(m *fake.Machine, have, want map[string]bool, simulate bool) host.Result {
	var out strings.Builder
	for _, name := range slices.Backward(order(have)) {
		if _, stays := want[name]; stays {
			continue
		}
		fmt.Fprintf(&out, "Remv %s [1.0]\n", name)
		if leave := repository()[name].leave; leave != nil && !simulate {
			leave(m)
		}
	}
	if simulate {
		return host.Result{Stdout: []byte(out.String())}
	}
	for _, name := range order(want) {
		if _, there := have[name]; there {
			continue
		}
		if arrive := repository()[name].arrive; arrive != nil {
			arrive(m)
		}
	}
	savePackages(m, want)
	return host.Result{}
}
