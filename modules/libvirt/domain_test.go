package libvirt

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/xmltree"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// tiny is a machine that has nothing to boot.
const tiny = `<domain type="qemu">
  <memory unit="MiB">16</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <devices>
    <interface type="bridge">
      <mac address="52:54:00:00:77:01"/>
      <source bridge="weft-laws0"/>
      <virtualport type="openvswitch"><parameters interfaceid="3B8E2A4E-3f0c-4b8a-9f55-0d5a7e0c1a10"/></virtualport>
      <model type="virtio"/>
    </interface>
    <graphics type="vnc" port="-1" autoport="yes" passwd="canary"/>
    <memballoon model="none"/>
  </devices>
</domain>`

// otherDomain is what an earlier run left, and another hand changed.
var otherDomain = strings.NewReplacer(
	`<memory unit="MiB">16`, "<name>weft-laws</name>"+tagged("libvirt_domain")+`<title>kept</title><memory unit="KiB">8192`,
	"weft-laws0", "weft-laws1", "<acpi/>", "<apic/>", "canary", "parrot",
	"</devices>", `<rng model="virtio"><backend model="random">/dev/urandom</backend></rng></devices>`,
).Replace(tiny)

func domainSubject() steptest.Subject {
	const object = host.VirtualDomain
	other := define(object, otherDomain)
	start := order(host.VirtualStart, object)
	deaf := hand("different, at work, and deaf", other, start)
	deaf.Fake = func(m *fake.Machine) { other.Fake(m); start.Fake(m); m.Deaden(name) }
	how := map[string]any{"force": true, "shutdown_timeout": "1ms"}
	with := func(spec map[string]any) map[string]any {
		for k, v := range how {
			spec[k] = v
		}
		return spec
	}
	nic := func(n *xmltree.Node) *xmltree.Node { return n.At("devices").At("interface") }
	return steptest.Subject{
		Kind:    domainKind(),
		Machine: hypervisor,
		Prepare: bridges,
		Policy:  []string{"restart", "force", "shutdown_timeout", "adopt"},
		Found: []steptest.Hand{
			hand("absent"),
			hand("different", other),
			hand("different, at work", other, start, order(host.VirtualAutostart, object)),
			deaf,
		},
		Cases: []steptest.Case{
			{
				Name: "whole", Spec: with(map[string]any{"xml": tiny, "running": true, "autostart": true, "restart": true}),
				Drift: []steptest.Hand{
					hand("xml.memory", edit(object, func(n *xmltree.Node) { n.At("memory").Text = "32768" }, "s/16384/32768/")),
					hand("xml.devices.interface[52:54:00:00:77:01].source@bridge", edit(object, func(n *xmltree.Node) { nic(n).At("source").Set("bridge", "weft-laws1") }, "s/weft-laws0/weft-laws1/")),
					hand("xml.features.acpi", edit(object, func(n *xmltree.Node) { n.At("features").Remove(n.At("features").At("acpi")) }, "/<acpi/d")),
					hand("xml.devices.interface[52:54:00:00:77:01]", edit(object, func(n *xmltree.Node) { n.At("devices").Remove(nic(n)) }, "/<interface/,/<\\/interface/d")),
					hand("running", order(host.VirtualDestroy, object)),
					hand("autostart", order(host.VirtualNoAutostart, object)),
					hand("state", order(host.VirtualDestroy, object), order(host.VirtualUndefine, object)),
				},
				Spellings: []steptest.Hand{
					{Name: "a unit", Fake: func(m *fake.Machine) {
						m.EditVirtual(object, name, func(n *xmltree.Node) { n.At("memory").Set("unit", "MiB"); n.At("memory").Text = "16" })
					}},
					hand("what another hand adds", edit(object, func(n *xmltree.Node) { n.Child("description").Text = "by hand" }, "s/<devices>/<description>by hand<\\/description><devices>/")),
				},
			},
			{Name: "the definition alone", Spec: with(map[string]any{"xml": tiny})},
			{Name: "off", Spec: with(map[string]any{"xml": tiny, "running": false}), Drift: []steptest.Hand{hand("running", start)}},
			{Name: "absent", Spec: with(map[string]any{"state": "absent"}), Drift: []steptest.Hand{hand("state", other)}},
		},
		Touches: steptest.Touches{Queries: slices.Concat(
			shown("dumpxml", "--inactive", "--security-info", name), shown("dominfo", name))},
		Clean: slices.Concat(steptest.Run("virsh", "-q", "destroy", name), steptest.Run("virsh", "-q", "undefine", name)),
	}
}

func TestDomainLaws(t *testing.T) { laws(t, domainSubject()) }

func TestDomainValidate(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{`{"name": "v", "xml": "<domain>"}`, "is no XML: read XML: it ends before its element does"},
		{`{"name": "v", "xml": "<network/>"}`, "is a <network>, not a <domain>"},
		{`{"name": "v", "xml": "<domain><name>w</name></domain>"}`, "names the domain w, the step v"},
		{`{"name": "v", "xml": "<domain><devices><interface type='user'/></devices></domain>"}`, "has an interface without a MAC"},
		{`{"name": "v", "xml": "<domain><devices><interface><mac address='52:54:00:00:00:0A'/></interface><interface><mac address='52:54:00:00:00:0a'/></interface></devices></domain>"}`, "has two interfaces with the MAC 52:54:00:00:00:0a"},
		{`{"name": "v", "xml": "<domain><devices><interface><mac address='52:54:00:00:00:0a'/><target dev='vnet3'/></interface></devices></domain>"}`, "asks for the device vnet3"},
		{`{"name": "v", "shutdown_timeout": "soon"}`, "is no length of time"},
		{`{"name": "v", "restart": true}`, "needs running = true"},
		{`{"name": " v"}`, "is no name that libvirt takes"},
	} {
		var s DomainSpec
		if err := json.Unmarshal([]byte(c.spec), &s); err != nil {
			t.Fatal(err)
		}
		if p := s.Validate(); len(p) != 1 || p[0].Message != c.want {
			t.Errorf("%s: %v, want %s", c.spec, p, c.want)
		}
	}
}

func TestDomainSaysWhatWaitsForARestart(t *testing.T) {
	m := hypervisor()
	m.Define(host.VirtualDomain, name, otherDomain)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	spec := map[string]any{"xml": tiny, "running": true}
	look := func() step.Finding {
		t.Helper()
		f, err := checked(t, domainKind(), m, spec)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := look()
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "what is new in devices.graphics[vnc]@passwd, devices.interface[52:54:00:00:77:01].source@bridge, features.acpi, memory until") {
		t.Errorf("before: %q", f.Warnings)
	}
	for _, d := range f.Deltas {
		if d.Secret != strings.HasSuffix(d.Path, "@passwd") {
			t.Errorf("secret is %t: %s", d.Secret, d.Path)
		}
	}
	apply(t, domainKind(), m, spec)
	if f = look(); f.Changed() || len(f.Warnings) != 1 {
		t.Errorf("afterwards: %v, %q", f.Deltas, f.Warnings)
	}
	spec["restart"] = true
	if f = look(); len(f.Deltas) != 1 || f.Deltas[0].Path != "restart" || f.Cost.Disruption != "domain weft-laws is restarted" || len(f.Warnings) != 0 {
		t.Errorf("with restart: %v, %q, %q", f.Deltas, f.Cost.Disruption, f.Warnings)
	}
	apply(t, domainKind(), m, spec)
	if v, _ := m.VirtualState(host.VirtualDomain, name); look().Changed() || !strings.Contains(v.Live, "weft-laws0") {
		t.Errorf("after the restart: %s", v.Live)
	}
}

// apply checks and applies a step.
func apply(t *testing.T, k step.Kind, m *fake.Machine, spec any) {
	t.Helper()
	u, err := steptest.Subject{Kind: k}.Unit(steptest.Case{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Make(u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A rollback of a definition keeps what another hand plugged in since, and leaves
// running what runs.
func TestDomainUndoKeepsWhatCameSince(t *testing.T) {
	m := hypervisor()
	m.Define(host.VirtualDomain, name, otherDomain)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	u, err := steptest.Subject{Kind: domainKind()}.Unit(steptest.Case{Spec: map[string]any{"xml": tiny}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := domainKind().Make(u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.VirtualState(host.VirtualDomain, name)
	theirs := &xmltree.Node{Name: "interface", Attrs: []xmltree.Attr{{Name: "type", Value: "bridge"}}}
	theirs.Child("source").Set("bridge", "weft-laws0")
	theirs.Child("mac").Set("address", mac2)
	m.Define(host.VirtualDomain, name, strings.Replace(before.Defined, "</devices>", theirs.String()+"</devices>", 1))
	f.Settled = true
	if err := s.Undo(t.Context(), m.Host(), f); err != nil {
		t.Fatal(err)
	}
	after, _ := m.VirtualState(host.VirtualDomain, name)
	if !after.Active || after.Live != before.Live || strings.Count(after.Defined, "weft-laws0") != 1 || !strings.Contains(after.Defined, mac2) || strings.Contains(before.Defined, mac2) {
		t.Errorf("after undo, active %t: %s", after.Active, after.Defined)
	}
}

func TestDomainRefuses(t *testing.T) {
	for _, c := range []struct {
		what string
		xml  string
		spec map[string]any
		want string
	}{
		{"of nobody", strings.Replace(otherDomain, tagged("libvirt_domain"), "", 1), map[string]any{"xml": tiny}, "belongs to no step of weft"},
		{"that is not there", "", map[string]any{"running": true}, "has no xml to define it by"},
	} {
		m := hypervisor()
		if c.xml != "" {
			m.Define(host.VirtualDomain, name, c.xml)
		}
		if _, err := checked(t, domainKind(), m, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a domain %s: %v, want %s", c.what, err, c.want)
		}
	}
	m := hypervisor()
	m.Define(host.VirtualDomain, name, otherDomain)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	m.Virsh(host.VirtualUndefine, host.VirtualDomain, name)
	if _, err := checked(t, domainKind(), m, map[string]any{"xml": tiny}); err == nil || !strings.Contains(err.Error(), "runs without a definition") {
		t.Errorf("a transient domain: %v", err)
	}
	if _, err := checked(t, domainKind(), fake.New(), map[string]any{"xml": tiny}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without libvirtd: %v", err)
	}
}

// A guest that does not hear the power button is not harmed unless the step says
// so.
func TestDomainThatIsDeaf(t *testing.T) {
	m := hypervisor()
	m.Define(host.VirtualDomain, name, otherDomain)
	m.Virsh(host.VirtualStart, host.VirtualDomain, name)
	m.Deaden(name)
	u, err := steptest.Subject{Kind: domainKind()}.Unit(steptest.Case{Spec: map[string]any{"running": false, "shutdown_timeout": "10ms"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := domainKind().Make(u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil || f.Cost.Disruption != "domain weft-laws is shut down" {
		t.Fatalf("%v, %q", err, f.Cost.Disruption)
	}
	if err := s.Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "did not shut down within 10ms") {
		t.Errorf("%v", err)
	}
	if v, _ := m.VirtualState(host.VirtualDomain, name); !v.Active {
		t.Error("its plug was pulled")
	}
}
