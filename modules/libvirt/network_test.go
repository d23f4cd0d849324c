package libvirt

import (
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/xmltree"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// otherNetwork is what an earlier run left, and another hand added a group to.
var otherNetwork = `<network>
  <name>weft-laws</name>
  ` + tagged("libvirt_network") + `
  <forward mode='bridge'/>
  <bridge name='weft-laws1'/>
  <virtualport type='openvswitch'/>
  <portgroup name='kept'><vlan><tag id='9'/></vlan><bandwidth><inbound average='1000'/></bandwidth></portgroup>
  <portgroup name='vlan300' default='yes'><vlan trunk='yes'><tag id='7' nativeMode='untagged'/><tag id='8'/></vlan></portgroup>
  <portgroup name='old'><vlan><tag id='5'/></vlan></portgroup>
</network>`

func groups() map[string]step.Attr[Portgroup] {
	return map[string]step.Attr[Portgroup]{
		"untag":   step.Is(Portgroup{Default: step.Is(true)}),
		"vlan300": step.Is(Portgroup{Default: step.Is(false), Tag: step.Is(300)}),
		"trunk":   step.Is(Portgroup{Trunks: []int{300, 301}, Native: step.Is(300), NativeMode: step.Is("untagged")}),
		"old":     step.None[Portgroup](),
	}
}

func networkSubject() steptest.Subject {
	const object = host.VirtualNetwork
	tag := func(n *xmltree.Node) { group(n, "vlan300").At("vlan").At("tag").Set("id", "333") }
	other := define(object, otherNetwork)
	start := order(host.VirtualStart, object)
	return steptest.Subject{
		Kind:    networkKind(),
		Machine: hypervisor,
		Prepare: bridges,
		Policy:  []string{"adopt"},
		Found: []steptest.Hand{
			hand("absent"),
			hand("different", other),
			hand("different, at work", other, start, order(host.VirtualAutostart, object)),
		},
		Cases: []steptest.Case{
			{
				Name: "whole",
				Spec: NetworkSpec{Bridge: step.Is("weft-laws0"), Virtualport: step.Is("openvswitch"), Portgroups: groups(), Running: true, Autostart: step.Is(true)},
				Drift: []steptest.Hand{
					hand("bridge", edit(object, func(n *xmltree.Node) { n.At("bridge").Set("name", "weft-laws1") }, "s/weft-laws0/weft-laws1/")),
					hand("portgroups.vlan300", edit(object, tag, "s/id='300'\\/>/id='333'\\/>/")),
					hand("portgroups.untag", edit(object, func(n *xmltree.Node) { n.Remove(group(n, "untag")) }, "/name=.untag/,/<.portgroup/d")),
					hand("portgroups.trunk", edit(object, func(n *xmltree.Node) { group(n, "trunk").At("vlan").At("tag").Drop("nativeMode") }, "s/ nativeMode='untagged'//")),
					hand("running", order(host.VirtualDestroy, object)),
					hand("autostart", order(host.VirtualNoAutostart, object)),
					hand("state", order(host.VirtualDestroy, object), order(host.VirtualUndefine, object)),
				},
				Spellings: []steptest.Hand{hand("a group of another hand", edit(object, func(n *xmltree.Node) {
					n.Add(&xmltree.Node{Name: "portgroup", Attrs: []xmltree.Attr{{Name: "name", Value: "theirs"}}})
				}, "s/<\\/network>/<portgroup name='theirs'\\/><\\/network>/"))},
			},
			{
				Name: "at rest", Spec: map[string]any{
					"bridge": "weft-laws1", "virtualport": "openvswitch", "running": false, "autostart": false,
					"portgroups": map[string]any{"trunk": Portgroup{Tag: step.None[int](), Trunks: []int{5, 6}, Native: step.None[int]()}},
				},
				Drift: []steptest.Hand{hand("running", start)},
			},
			{
				Name: "of the kernel", Spec: map[string]any{
					"bridge": "weft-laws2", "virtualport": nil,
					"portgroups": map[string]any{"untag": Portgroup{Default: step.Is(true)}, "kept": nil, "vlan300": nil, "old": nil, "trunk": nil},
				},
				Drift: []steptest.Hand{hand("virtualport", edit(object, func(n *xmltree.Node) { n.Child("virtualport").Set("type", "openvswitch") }, "s/<portgroup/<virtualport type='openvswitch'\\/><portgroup/"))},
			},
			{
				Name: "absent", Spec: NetworkSpec{State: step.Absent},
				Drift: []steptest.Hand{hand("state", other)},
			},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			shown("net-dumpxml", "--inactive", name), shown("net-dumpxml", name), shown("net-info", name))},
		Clean: slices.Concat(steptest.Run("virsh", "-q", "net-destroy", name), steptest.Run("virsh", "-q", "net-undefine", name)),
	}
}

func TestNetworkLaws(t *testing.T) { laws(t, networkSubject()) }

func TestNetworkValidate(t *testing.T) {
	for _, c := range []struct {
		group Portgroup
		want  string
	}{
		{Portgroup{Tag: step.Is(3), Trunks: []int{4}}, "has both tag and trunks"},
		{Portgroup{Trunks: []int{4}, Native: step.Is(5)}, "5 is none of trunks"},
		{Portgroup{Trunks: []int{4}, NativeMode: step.Is("tagged")}, "needs native"},
		{Portgroup{Tag: step.Is(4096)}, "4096 is no VLAN"},
		{Portgroup{Trunks: []int{0}}, "0 is no VLAN"},
	} {
		s := NetworkSpec{Name: "n", Portgroups: map[string]step.Attr[Portgroup]{"g": step.Is(c.group)}}
		if p := s.Validate(); len(p) != 1 || p[0].Message != c.want {
			t.Errorf("%+v: %v, want %s", c.group, p, c.want)
		}
	}
	s := NetworkSpec{Name: "n", Virtualport: step.None[string](), Portgroups: map[string]step.Attr[Portgroup]{"g": step.Is(Portgroup{Tag: step.Is(3)})}}
	if p := s.Validate(); len(p) != 1 || p[0].Message != `needs virtualport = "openvswitch"` {
		t.Errorf("VLANs of a bridge of the kernel: %v", p)
	}
	s = NetworkSpec{Name: "a/b", Portgroups: map[string]step.Attr[Portgroup]{
		"a": step.Is(Portgroup{Default: step.Is(true)}), "b": step.Is(Portgroup{Default: step.Is(true)}), "c": step.None[Portgroup](),
	}}
	if p := s.Validate(); len(p) != 2 {
		t.Errorf("two default groups and a bad name: %v", p)
	}
}

// checked is the finding of a check of a step of a kind.
func checked(t *testing.T, k step.Kind, m *fake.Machine, spec any) (step.Finding, error) {
	t.Helper()
	u, err := steptest.Subject{Kind: k}.Unit(steptest.Case{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(u)
	if err != nil {
		t.Fatal(err)
	}
	return s.Check(t.Context(), m.Host().View())
}

func TestNetworkWarnsOfTagsOnOVNsBridge(t *testing.T) {
	f, err := checked(t, networkKind(), hypervisor(), NetworkSpec{Bridge: step.Is("br-int"), Virtualport: step.Is("openvswitch"), Portgroups: groups()})
	if err != nil || len(f.Warnings) != 2 || !strings.Contains(f.Warnings[1], "portgroup vlan300 have no effect") {
		t.Errorf("%v, %q", err, f.Warnings)
	}
}

func TestNetworkRefuses(t *testing.T) {
	foreign := strings.Replace(otherNetwork, tagged("libvirt_network"), "", 1)
	spec := NetworkSpec{Bridge: step.Is("weft-laws0"), Running: true}
	for _, c := range []struct {
		what, xml, want string
		spec            NetworkSpec
	}{
		{"of nobody", foreign, "belongs to no step of weft", spec},
		{"of another step", strings.Replace(otherNetwork, "libvirt_network.weft-laws", "libvirt_network.b", 1), `belongs to the weft step "weft-laws/libvirt_network.b"`, spec},
		{"of another mode", strings.Replace(otherNetwork, "mode='bridge'", "mode='nat'", 1), `has the forward mode "nat"`, spec},
		{"absent, without a bridge", "", "names no bridge", NetworkSpec{Running: true}},
	} {
		m := hypervisor()
		if c.xml != "" {
			m.Define(host.VirtualNetwork, name, c.xml)
		}
		if _, err := checked(t, networkKind(), m, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a network %s: %v, want %s", c.what, err, c.want)
		}
	}
	m := hypervisor()
	m.Define(host.VirtualNetwork, name, foreign)
	spec.Adopt = true
	if f, err := checked(t, networkKind(), m, spec); err != nil || !slices.ContainsFunc(f.Deltas, func(d step.Delta) bool { return d.Path == "owner" }) {
		t.Errorf("an adopted network is not tagged: %v, %v", f.Deltas, err)
	}
}
