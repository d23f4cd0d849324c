package libvirt

import (
	"context"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/host/xmltree"
	"weft/engine/onhost/killtest"
	"weft/engine/step/steptest"
)

// laws holds a kind to the laws of a step, and the runner to its promise
// wherever it is stopped in it.
func laws(t *testing.T, s steptest.Subject) {
	t.Helper()
	steptest.Laws(t, s)
	t.Run("killed", func(t *testing.T) { killtest.Subject(t, s) })
}

const (
	name = steptest.Prefix
	mac  = "52:54:00:00:77:01"
	mac2 = "52:54:00:00:77:02"
)

// hypervisor is a machine with libvirtd, two bridges of Open vSwitch and one of the
// kernel.
func hypervisor() *fake.Machine {
	m := fake.New()
	m.AddOpenVSwitch()
	for _, bridge := range []string{"weft-laws0", "weft-laws1"} {
		addBridge(m, bridge)
	}
	m.MakeLink(host.NewLink{Name: "weft-laws2", Kind: "bridge"})
	m.SetLink("", "weft-laws2", host.LinkChange{MAC: "02:00:00:00:00:02"})
	m.AddLibvirt()
	return m
}

func addBridge(m *fake.Machine, name string) {
	var tx row.Tx
	tx.Insert("Interface", "interface", map[string]any{"name": name, "type": "internal"})
	tx.Insert("Port", "port", map[string]any{"name": name, "interfaces": row.UUIDs("interface")})
	tx.Insert("Bridge", "bridge", map[string]any{"name": name, "datapath_type": "netdev", "ports": row.UUIDs("port")})
	root := m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]
	tx.Mutate("Open_vSwitch", row.ID(root), row.AddRefs("bridges", "bridge"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

// bridges brings a real host the bridges of the fake.
func bridges(t *testing.T, h host.Host) {
	t.Helper()
	run := func(argv ...string) {
		if _, err := h.Commands.Run(t.Context(), host.Command{Argv: argv}); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []string{"weft-laws0", "weft-laws1"} {
		run("ovs-vsctl", "--may-exist", "add-br", b, "--", "set", "bridge", b, "datapath_type=netdev")
	}
	run("ip", "link", "add", "weft-laws2", "type", "bridge")
	t.Cleanup(func() {
		for _, c := range []host.Command{
			{Argv: []string{"ip", "link", "del", "weft-laws2"}},
			{Argv: []string{"ovs-vsctl", "--if-exists", "del-br", "weft-laws0", "--", "--if-exists", "del-br", "weft-laws1"}},
		} {
			if _, err := h.Commands.Run(context.WithoutCancel(t.Context()), c); err != nil {
				t.Error(err)
			}
		}
	})
}

// tagged is the metadata that the step of the laws leaves.
func tagged(kind string) string {
	return "<metadata><weft:owner xmlns:weft='urn:weft:1'>" + steptest.Prefix + "/" + kind + "." + steptest.Prefix + "</weft:owner></metadata>"
}

// define has another hand define a thing.
func define(object host.VirtualObject, text string) steptest.Hand {
	verb := map[host.VirtualObject]string{host.VirtualDomain: "define", host.VirtualNetwork: "net-define"}[object]
	return steptest.Hand{
		Fake: func(m *fake.Machine) { m.Define(object, name, text) },
		Host: []host.Command{{Argv: []string{"virsh", "-q", verb, "/dev/stdin"}, Stdin: []byte(text)}},
	}
}

// order has another hand give an order.
func order(verb host.VirtualVerb, object host.VirtualObject) steptest.Hand {
	words := []string{string(verb)}
	if verb == host.VirtualNoAutostart {
		words = []string{"autostart", "--disable"}
	}
	if object == host.VirtualNetwork {
		words[0] = "net-" + words[0]
	}
	return steptest.Hand{
		Fake: func(m *fake.Machine) { m.Virsh(verb, object, name) },
		Host: steptest.Run(append([]string{"virsh", "-q"}, append(words, name)...)...),
	}
}

// edit has another hand change a definition, by a function and by sed(1); what
// runs is restarted.
func edit(object host.VirtualObject, change func(n *xmltree.Node), sed string) steptest.Hand {
	script := `set -e; virsh dumpxml --inactive --security-info weft-laws | sed -e "$0" > /tmp/weft-laws.xml; virsh -q define /tmp/weft-laws.xml
		if virsh -q list --name | grep -qx weft-laws; then virsh -q destroy weft-laws; virsh -q start weft-laws; fi; rm /tmp/weft-laws.xml`
	if object == host.VirtualNetwork {
		script = `set -e; virsh net-dumpxml --inactive weft-laws | sed -e "$0" > /tmp/weft-laws.xml; virsh -q net-define /tmp/weft-laws.xml
			if virsh -q net-list --name | grep -qx weft-laws; then virsh -q net-destroy weft-laws; virsh -q net-start weft-laws; fi; rm /tmp/weft-laws.xml`
	}
	return steptest.Hand{
		Fake: func(m *fake.Machine) { m.EditVirtual(object, name, change) },
		Host: steptest.Run("sh", "-c", script, sed),
	}
}

// shown is what virsh(1) shows of a thing on a real host, without the UUID, which
// is another each time it is made.
func shown(words ...string) []host.Command {
	return steptest.Run(append([]string{"sh", "-c", `virsh "$@" | grep -v 'uuid>\|^UUID\|^Id:\|^CPU time'`, "virsh"}, words...)...)
}

// hand joins what another hand does under a name.
func hand(named string, parts ...steptest.Hand) steptest.Hand {
	h := steptest.Hand{Name: named, Fake: func(m *fake.Machine) {
		for _, p := range parts {
			p.Fake(m)
		}
	}}
	for _, p := range parts {
		h.Host = append(h.Host, p.Host...)
	}
	if len(parts) == 0 {
		h.Host = steptest.Run("true")
	}
	return h
}
