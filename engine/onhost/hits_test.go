package onhost

import (
	"slices"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/wire"
)

// switched is a site with an Open vSwitch, and a guest g1 with a card on it.
func switched(t *testing.T) *site {
	s := newSite(t)
	m := s.machine
	m.AddOpenVSwitch()
	var tx row.Tx
	tx.Insert("Interface", "i", ovsdb.Row{"name": "br0", "type": "internal"})
	tx.Insert("Port", "p", ovsdb.Row{"name": "br0", "interfaces": row.UUIDs("i")})
	tx.Insert("Bridge", "b", ovsdb.Row{"name": "br0", "ports": row.UUIDs("p")})
	tx.Mutate("Open_vSwitch", row.ID(m.Rows(host.OpenVSwitch, "Open_vSwitch")[0]), row.AddRefs("bridges", "b"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
	m.AddLibvirt()
	m.Define(host.VirtualDomain, "g1", `<domain type="kvm"><name>g1</name><memory>1024</memory><os><type>hvm</type></os><devices>
<interface type="bridge"><mac address="52:54:00:00:00:01"/><source bridge="br0"/><virtualport type="openvswitch"/></interface></devices></domain>`)
	return s
}

func (s *site) startGuest() { s.machine.Virsh(host.VirtualStart, host.VirtualDomain, "g1") }

func (s *site) switchStarted() int64 { return s.machine.UnitState("ovs-vswitchd.service").StartedAt }

// hitting sees that a plan and an apply name g1 at a unit, and that nothing is
// changed or restarted.
func (s *site) hitting(c *client, u step.Unit, units ...step.Unit) {
	s.t.Helper()
	f := c.check(units...).unit(u.Address).Finding
	if f == nil || !slices.Equal(f.Cost.Guests, []string{"g1"}) || f.Cost.Disruption == "" {
		s.t.Errorf("the plan says %+v", f)
	}
	before, started := s.machine.Snapshot(), s.switchStarted()
	if e := c.apply(units...).unit(u.Address); e.State != wire.Failed || !strings.Contains(e.Error, "g1: restarts ") || !strings.Contains(e.Error, "--allow-disruption") {
		s.t.Errorf("the apply says %s: %s", e.State, e.Error)
	}
	if s.machine.Snapshot() != before || s.switchStarted() != started {
		s.t.Error("something was changed")
	}
}

func allowing(units ...step.Unit) wire.Request {
	return wire.Request{Apply: &wire.Apply{Play: "p", Units: units, AllowDisruption: true}}
}

// TestATriggerHitsGuests: a service that another step's change restarts.
func TestATriggerHitsGuests(t *testing.T) {
	for _, name := range []string{"ovs-vswitchd", "ovsdb-server"} {
		t.Run(name, func(t *testing.T) {
			s := switched(t)
			s.startGuest()
			conf := file("/etc/ovs.conf", "x")
			svc := service(name, conf)
			c := s.open()
			c.hello("r1")
			s.hitting(c, conf, conf, svc)
			want(t, c.do(allowing(conf, svc)), "file.etc/ovs.conf applying, file.etc/ovs.conf changed, need restart "+name+".service, service."+name+" changed")
			want(t, c.undo(), "file.etc/ovs.conf undone, need restart "+name+".service")
			c.bye()
		})
	}
}

// TestADeadSwitchHitsNobody: whoever had a card on it is cut off already, and a restart is
// what helps.
func TestADeadSwitchHitsNobody(t *testing.T) {
	s := switched(t)
	s.startGuest()
	s.machine.FailUnit("ovs-vswitchd.service")
	conf := file("/etc/ovs.conf", "x")
	c := s.open()
	c.hello("r1")
	want(t, c.apply(conf, service("ovs-vswitchd", conf)), "file.etc/ovs.conf applying, file.etc/ovs.conf changed, service.ovs-vswitchd applying, service.ovs-vswitchd changed")
	c.bye()
}

// TestADeadDatabaseHidesNobody: ovs-vswitchd forwards without it.
func TestADeadDatabaseHidesNobody(t *testing.T) {
	s := switched(t)
	s.startGuest()
	s.machine.RemoveDatabase(host.OpenVSwitch)
	conf := file("/etc/ovs.conf", "x")
	c := s.open()
	c.hello("r1")
	s.hitting(c, conf, conf, service("ovs-vswitchd", conf))
	c.bye()
}

func TestAServiceOfAnotherDaemonHitsNobody(t *testing.T) {
	s := switched(t)
	s.machine.WriteFile("/usr/lib/systemd/system/d.service", fake.Service("/usr/sbin/d"))
	s.machine.Systemctl(host.Start, "d.service")
	s.startGuest()
	conf := file("/etc/d.conf", "x")
	c := s.open()
	c.hello("r1")
	if f := c.check(conf, service("d", conf)).unit(conf.Address).Finding; len(f.Cost.Guests) > 0 {
		t.Errorf("it hits %v", f.Cost.Guests)
	}
	want(t, c.apply(conf, service("d", conf)), "file.etc/d.conf applying, file.etc/d.conf changed, need restart d.service, service.d changed")
	c.bye()
}

// TestAStopHitsGuests: a service of the switch that is to run no more.
func TestAStopHitsGuests(t *testing.T) {
	s := switched(t)
	s.startGuest()
	c := s.open()
	c.hello("r1")
	u := unitOf("service", "ovs", serviceSpec{Unit: "ovs-vswitchd.service", Running: step.Is(false)})
	if f := c.check(u).unit(u.Address).Finding; f == nil || !slices.Equal(f.Cost.Guests, []string{"g1"}) || f.Cost.Disruption != "stops ovs-vswitchd.service" {
		t.Errorf("the plan says %+v", f)
	}
	want(t, c.apply(u), "service.ovs failed")
	c.bye()
}

// TestALeftRestartHitsGuests: a run died before its restart, and this one is to
// settle it, wherever it comes to.
func TestALeftRestartHitsGuests(t *testing.T) {
	conf := file("/etc/ovs.conf", "x")
	svc := service("ovs-vswitchd", conf)
	left := func(t *testing.T) (*site, *client) {
		s := switched(t)
		c := s.open()
		c.hello("r1")
		c.check(conf, svc)
		want(t, c.apply(conf), "file.etc/ovs.conf applying, file.etc/ovs.conf changed")
		c.cut()
		s.startGuest()
		c = s.open()
		c.hello("r2")
		return s, c
	}
	t.Run("at its service", func(t *testing.T) {
		s, c := left(t)
		s.hitting(c, svc, conf, svc)
		want(t, c.do(allowing(conf, svc)), "file.etc/ovs.conf ok, need restart ovs-vswitchd.service, service.ovs-vswitchd changed")
		c.bye()
	})
	t.Run("where no step settles it", func(t *testing.T) {
		s, c := left(t)
		s.hitting(c, conf, conf)
		want(t, c.do(allowing(conf)), "file.etc/ovs.conf pending")
		want(t, c.do(wire.Request{EndPlay: &wire.EndPlay{Play: "p", AllowDisruption: true}}), "need restart ovs-vswitchd.service, file.etc/ovs.conf changed")
		c.bye()
	})
	after := file("/etc/after", "x")
	after.AfterNeeds = []string{"ovs-vswitchd"}
	for name, units := range map[string][]step.Unit{
		"before a step that waits for it": {after}, "before a probe": {probe("/etc"), svc},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := left(t)
			started := s.switchStarted()
			c.check(units...)
			r := c.apply(units...)
			if e := r.unit(units[0].Address); e.State != wire.Failed || s.switchStarted() != started {
				t.Errorf("it says %s: %s", e.State, r)
			}
			if !slices.ContainsFunc(r.events, func(e wire.Event) bool { return e.Need != nil && strings.Contains(e.Need.Error, "g1; move them") }) {
				t.Errorf("g1 is not named: %s", explained(r))
			}
			c.do(allowing(units...))
			if s.switchStarted() == started {
				t.Error("allowed, and not restarted")
			}
			c.bye()
		})
	}
	t.Run("a rollback goes ahead", func(t *testing.T) {
		s, c := left(t)
		s.machine.Systemctl(host.Restart, "ovs-vswitchd.service") // with the change
		want(t, c.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r1"}}}), "file.etc/ovs.conf undone, need restart ovs-vswitchd.service, run r1 undone 0/1")
		c.bye()
	})
}
