package ovs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

func tunnelSubject(t *testing.T) steptest.Subject {
	return steptest.Subject{
		Kind:    kind(t, "ovs_tunnel"),
		Policy:  []string{"persist_by"}, // TestKeptLaws
		Machine: withBridge,
		Found: []steptest.Hand{
			steps("absent", needs()...),
			steps("different", append(needs(),
				vsctl("", "add-port", otherName, portName, "--", "set", "interface", portName, "type=vxlan", "options:remote_ip=192.0.2.7", "options:key=0x10",
					"options:dst_port=4790", "options:df_default=false", "options:weft-laws=z", "options:ttl=9", "bfd:enable=true", "bfd:min_tx=300", "external_ids:hand=1",
					"--", "set", "port", portName, "tag=5", "external_ids:hand=1"),
				edit("", "/etc/network/interfaces.d/weft-port-"+portName, "# by hand\n"))...),
			steps("an internal port", append(needs(), vsctl("", "add-port", homeName, portName, "--", "set", "interface", portName, "type=internal"))...),
		},
		Cases: []steptest.Case{vxlanTunnel(), greTunnel(), {
			Name:  "absent",
			Spec:  ovs.TunnelSpec{Bridge: homeName, State: step.Absent},
			Drift: []steptest.Hand{vsctl("state", "add-port", homeName, portName, "--", "set", "interface", portName, "type=gre", "options:remote_ip=192.0.2.9")},
		}},
		Touches: steptest.Touches{
			Files: []string{"/etc/network/interfaces.d"},
			Queries: slices.Concat(
				query("Port", portName, "name,tag,protected,external_ids"), query("Interface", portName, "name,type,options,ofport_request,bfd,external_ids"),
				steptest.Run("ovs-vsctl", "list-ports", homeName), steptest.Run("ovs-vsctl", "list-ports", otherName)),
		},
		Clean: append(steptest.Run("ovs-vsctl", "--if-exists", "del-br", homeName, "--", "--if-exists", "del-br", otherName),
			append(steptest.Run("rm", "-f", "/etc/network/interfaces.d/weft-port-"+portName), steptest.Run("ip", "link", "del", uplinkName)...)...),
	}
}

func tunnelOption(key, value string) steptest.Hand {
	return vsctl(key, "set", "interface", portName, "options:"+key+"="+value)
}

func noOption(key string) steptest.Hand {
	return vsctl(key, "remove", "interface", portName, "options", key)
}

func vxlanTunnel() steptest.Case {
	file := "/etc/network/interfaces.d/weft-port-" + portName
	return steptest.Case{
		Name: "vxlan",
		Spec: ovs.TunnelSpec{
			Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9"), LocalIP: step.Is("192.0.2.1"), Key: step.Is("7"),
			DstPort: step.Is(4790), TOS: step.Is("inherit"), TTL: step.Is("33"), DFDefault: step.Is(false), Csum: step.Is(true), EgressPktMark: step.Is(4),
			Options: keys("weft-laws", "x"), BFD: keys("enable", "false"), Tag: step.Is(7), Protected: step.Is(true), OFPort: step.Is(71), ExternalIDs: keys("weft-laws", "1"), Persist: step.Is(true),
		},
		Drift: []steptest.Hand{
			vsctl("state", "del-port", portName),
			steps("bridge", vsctl("", "del-port", portName), vsctl("", "add-port", otherName, portName, "--", "set", "interface", portName, "type=vxlan", "options:remote_ip=192.0.2.9")),
			vsctl("type", "set", "interface", portName, "type=geneve"),
			tunnelOption("remote_ip", "192.0.2.8"), tunnelOption("local_ip", "192.0.2.2"), noOption("local_ip"),
			tunnelOption("key", "8"), noOption("key"), tunnelOption("in_key", "9"), tunnelOption("out_key", "flow"),
			tunnelOption("dst_port", "4789"), noOption("dst_port"), tunnelOption("tos", "4"), noOption("ttl"), noOption("df_default"),
			noOption("csum"), tunnelOption("egress_pkt_mark", "5"),
			vsctl("options.weft-laws", "set", "interface", portName, "options:weft-laws=y"),
			vsctl("bfd.enable", "set", "interface", portName, "bfd:enable=true"),
			vsctl("tag", "clear", "port", portName, "tag"),
			vsctl("protected", "set", "port", portName, "protected=false"),
			vsctl("ofport_request", "set", "interface", portName, "ofport_request=72"),
			vsctl("external_ids.weft-laws", "set", "interface", portName, "external_ids:weft-laws=2"),
			edit("persist", file, "auto "+portName+"\n"),
		},
		Spellings: []steptest.Hand{
			tunnelOption("key", "0x7"), tunnelOption("dst_port", "0x12b6"), tunnelOption("egress_pkt_mark", "0x4"), tunnelOption("ttl", "0x21"),
			steps("both keys", noOption("key"), tunnelOption("in_key", "7"), tunnelOption("out_key", "7")),
		},
	}
}

func greTunnel() steptest.Case {
	return steptest.Case{
		Name: "gre",
		Spec: ovs.TunnelSpec{
			Bridge: homeName, Type: step.Is("gre"), RemoteIP: step.Is("FD00::9"), LocalIP: step.None[string](), InKey: step.Is("3"), OutKey: step.Is("flow"),
			TOS: step.None[string](), TTL: step.None[string](), DFDefault: step.Is(true), Csum: step.None[bool](), EgressPktMark: step.None[int](),
			DstPort: step.None[int](), Tag: step.None[int](), Protected: step.Is(false), OFPort: step.None[int](), BFD: without(keys(), "enable"), Persist: step.Is(false),
		},
		Drift: []steptest.Hand{
			tunnelOption("remote_ip", "fd00::8"), tunnelOption("local_ip", "fd00::1"), tunnelOption("in_key", "4"), noOption("in_key"), tunnelOption("out_key", "3"),
			tunnelOption("tos", "4"), tunnelOption("ttl", "inherit"), tunnelOption("df_default", "false"), tunnelOption("csum", "true"),
			tunnelOption("egress_pkt_mark", "1"),
			vsctl("bfd.enable", "set", "interface", portName, "bfd:enable=true"),
			vsctl("tag", "set", "port", portName, "tag=9"),
			vsctl("protected", "set", "port", portName, "protected=true"),
		},
		Spellings: []steptest.Hand{tunnelOption("remote_ip", "fd00:0::9"), tunnelOption("key", "5"), tunnelOption("df_default", "true"), tunnelOption("tos", "0"), tunnelOption("csum", "false")},
	}
}

func TestTunnelLaws(t *testing.T) { laws(t, tunnelSubject(t)) }

func TestTwinTunnelIsRefused(t *testing.T) {
	m := withBridge()
	ovsVsctl(m, []string{"add-port", homeName, "vx1", "--", "set", "interface", "vx1", "type=vxlan", "options:remote_ip=192.0.2.9", "options:key=0x7"})
	twin := ovs.TunnelSpec{Name: "vx2", Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9"), Key: step.Is("7")}
	_, err := made(t, "ovs_tunnel", twin).Check(t.Context(), m.Host().View())
	if !errors.Is(err, step.ErrNotYet) || !strings.Contains(err.Error(), "vx1 is there for the same") {
		t.Errorf("a twin: %v", err)
	}
	for name, change := range map[string]func(*ovs.TunnelSpec){
		"another key":   func(s *ovs.TunnelSpec) { s.Key = step.Is("8") },
		"another end":   func(s *ovs.TunnelSpec) { s.RemoteIP = step.Is("192.0.2.10") },
		"another type":  func(s *ovs.TunnelSpec) { s.Type = step.Is("gre") },
		"another port":  func(s *ovs.TunnelSpec) { s.DstPort = step.Is(4790) },
		"another local": func(s *ovs.TunnelSpec) { s.LocalIP = step.Is("192.0.2.1") },
		"the same name": func(s *ovs.TunnelSpec) { s.Name = "vx1" },
	} {
		other := twin
		change(&other)
		if _, err := made(t, "ovs_tunnel", other).Check(t.Context(), m.Host().View()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A race: the twin comes between the check and the write.
	s := made(t, "ovs_tunnel", ovs.TunnelSpec{Name: "vx3", Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.11")})
	f := check(t, m, s)
	ovsVsctl(m, []string{"add-port", homeName, "vx4", "--", "set", "interface", "vx4", "type=vxlan", "options:remote_ip=192.0.2.11"})
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "File exists") {
		t.Errorf("the second of two: %v", err)
	}
	for _, p := range m.Rows(host.OpenVSwitch, "Port") {
		if row.String(p, "name") == "vx3" {
			t.Error("the tunnel that cannot work was left")
		}
	}
}

// TestTunnelKeepsSpellings: what means the same is not written again.
func TestTunnelKeepsSpellings(t *testing.T) {
	m := withBridge()
	ovsVsctl(m, []string{"add-port", homeName, "vx1", "--", "set", "interface", "vx1", "type=vxlan", "options:remote_ip=192.0.2.9", "options:key=0x7"})
	apply(t, m, made(t, "ovs_tunnel", ovs.TunnelSpec{Name: "vx1", Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9"), Key: step.Is("7"), TTL: step.Is("9")}))
	for _, i := range m.Rows(host.OpenVSwitch, "Interface") {
		if o := row.Map(i, "options"); row.String(i, "name") == "vx1" && (o["key"] != "0x7" || o["ttl"] != "9") {
			t.Errorf("options %v", o)
		}
	}
}

func TestTunnelWarnsOfAForeignLocalAddress(t *testing.T) {
	m := withBridge()
	s := made(t, "ovs_tunnel", ovs.TunnelSpec{Name: "vx1", Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9"), LocalIP: step.Is("192.0.2.1")})
	if f := check(t, m, s); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "192.0.2.1") {
		t.Errorf("warnings %q", f.Warnings)
	}
	m.SetLink("", otherName, host.LinkChange{AddAddresses: prefixes("192.0.2.1/24")})
	if f := check(t, m, s); len(f.Warnings) > 0 {
		t.Errorf("warnings %q", f.Warnings)
	}
}

// A userspace datapath sends tunnels by its own bridges alone, and drops what would
// leave by a device of the host.
func TestTunnelWarnsOfAWayThatLeadsNowhere(t *testing.T) {
	spec := ovs.TunnelSpec{Name: "vx1", Bridge: homeName, Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9")}
	for _, c := range []struct {
		name, device, datapath string
		warnings               int
	}{
		{"by a NIC", uplinkName, "netdev", 1},
		{"by a bridge", otherName, "netdev", 0},
		{"of the kernel's datapath", uplinkName, "system", 0},
	} {
		m := withBridge()
		ovsVsctl(m, []string{"set", "bridge", homeName, "datapath_type=" + c.datapath})
		up := true
		m.SetLink("", c.device, host.LinkChange{Up: &up, AddAddresses: prefixes("192.0.2.1/24")})
		f := check(t, m, made(t, "ovs_tunnel", spec))
		if len(f.Warnings) != c.warnings || c.warnings > 0 && !strings.Contains(f.Warnings[0], "the way to 192.0.2.9 is by "+c.device) {
			t.Errorf("%s: warnings %q", c.name, f.Warnings)
		}
	}
}

func TestRefusedTunnels(t *testing.T) {
	good := ovs.TunnelSpec{Name: "vx1", Bridge: "br0", Type: step.Is("vxlan"), RemoteIP: step.Is("192.0.2.9")}
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good tunnel is refused: %v", p)
	}
	for want, change := range map[string]func(*ovs.TunnelSpec){
		"remote_ip":            func(s *ovs.TunnelSpec) { s.RemoteIP = step.Is("compute2") },
		"remote_ip:multicast":  func(s *ovs.TunnelSpec) { s.RemoteIP = step.Is("239.1.1.1") },
		"remote_ip:absent":     func(s *ovs.TunnelSpec) { s.RemoteIP = step.None[string]() },
		"type":                 func(s *ovs.TunnelSpec) { s.Type = step.Attr[string]{} },
		"local_ip":             func(s *ovs.TunnelSpec) { s.LocalIP = step.Is("fd00::1") },
		"local_ip:flow":        func(s *ovs.TunnelSpec) { s.LocalIP = step.Is("flow") },
		"key":                  func(s *ovs.TunnelSpec) { s.Key = step.Is("16777216") },
		"key:both":             func(s *ovs.TunnelSpec) { s.Key, s.InKey = step.Is("1"), step.Is("2") },
		"out_key":              func(s *ovs.TunnelSpec) { s.OutKey = step.Is("blue") },
		"tos":                  func(s *ovs.TunnelSpec) { s.TOS = step.Is("5") },
		"ttl":                  func(s *ovs.TunnelSpec) { s.TTL = step.Is("256") },
		"dst_port":             func(s *ovs.TunnelSpec) { s.DstPort = step.Is(0) },
		"dst_port:gre":         func(s *ovs.TunnelSpec) { s.Type, s.DstPort = step.Is("gre"), step.Is(1) },
		"egress_pkt_mark":      func(s *ovs.TunnelSpec) { s.EgressPktMark = step.Is(-1) },
		"options.remote_ip":    func(s *ovs.TunnelSpec) { s.Options = keys("remote_ip", "192.0.2.8") },
		"tag":                  func(s *ovs.TunnelSpec) { s.Tag = step.Is(4096) },
		"options.psk:persist":  func(s *ovs.TunnelSpec) { s.Persist, s.Options = step.Is(true), keys("psk", "a b") },
		"bfd.enable:persist":   func(s *ovs.TunnelSpec) { s.Persist, s.BFD = step.Is(true), keys("enable", "$(id)") },
		"remote_ip:persistent": func(s *ovs.TunnelSpec) { s.Persist, s.RemoteIP = step.Is(true), step.Is("192.0.2.9;id") },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if p := s.Validate(); len(p) == 0 || p[0].Path != path || p[0].Message == "" {
			t.Errorf("%s: %v", want, p)
		}
	}
}
