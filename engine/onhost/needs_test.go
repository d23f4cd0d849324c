package onhost

import (
	"errors"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/wire"
)

// withDaemon is a site where d.service runs; it reads /etc/option-d.service
// when it starts, and shows it in /run/d.service.
func withDaemon(t *testing.T) *site {
	s := newSite(t)
	s.machine.WriteFile("/usr/lib/systemd/system/d.service", fake.Service("/usr/sbin/d"))
	s.machine.OnUnit("d.service", func(m *fake.Machine, verb host.UnitVerb) error {
		if verb != host.Start {
			return nil
		}
		if v, there := m.File("/etc/breaks-d"); there {
			return errors.New(v)
		}
		if v, there := m.File("/etc/option-d.service"); there {
			m.WriteFile("/run/d.service", v)
		} else {
			m.Remove("/run/d.service")
		}
		return nil
	})
	s.machine.Systemctl(host.Start, "d.service")
	return s
}

func (s *site) startedAt() int64 { return s.machine.UnitState("d.service").StartedAt }

func TestNeedsAreSettledOnceAtTheirPlace(t *testing.T) {
	conf, other := file("/etc/d.conf", "x"), file("/etc/other", "x")
	svc := service("d", conf)
	after := file("/etc/after", "x")
	after.AfterNeeds = []string{"d"}
	for _, c := range []struct {
		name  string
		units []step.Unit
		apply string
		end   string
	}{
		{"at the step that settles it", []step.Unit{conf, other, svc},
			"file.etc/d.conf applying, file.etc/d.conf changed, file.etc/other applying, file.etc/other changed, " +
				"need restart d.service, service.d changed", ""},
		{"before a probe", []step.Unit{conf, probe("/etc"), svc},
			"file.etc/d.conf applying, file.etc/d.conf changed, need restart d.service, probe_file./etc proved, service.d ok", ""},
		{"before a step that names it", []step.Unit{conf, after, svc},
			"file.etc/d.conf applying, file.etc/d.conf changed, need restart d.service, " +
				"file.etc/after applying, file.etc/after changed, service.d ok", ""},
		{"at the end of the play, and what waited for it is verified", []step.Unit{option("d", "on")},
			"daemon_option.d applying, daemon_option.d pending", "need restart d.service, daemon_option.d changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withDaemon(t)
			before := s.startedAt()
			cl := s.open()
			cl.hello("r1")
			want(t, cl.apply(c.units...), c.apply)
			want(t, cl.endPlay(), c.end)
			once := s.startedAt()
			if once == before {
				t.Error("the service was not restarted")
			}
			want(t, cl.endPlay(), "")
			cl.bye()
			if s.startedAt() != once {
				t.Error("the service was restarted twice")
			}
		})
	}
}

func TestNeedsThatServeNobody(t *testing.T) {
	conf := file("/etc/d.conf", "x")
	for _, c := range []struct {
		name    string
		between func(*site)
		end     string
	}{
		{"restarted by hand", func(s *site) { s.machine.Systemctl(host.Restart, "d.service") }, ""},
		{"stopped and not enabled", func(s *site) { s.machine.Systemctl(host.Stop, "d.service") }, ""},
		{"not there", func(s *site) {
			s.machine.Systemctl(host.Stop, "d.service")
			s.machine.Remove("/usr/lib/systemd/system/d.service")
		}, ""},
		{"failed, but enabled", func(s *site) {
			s.machine.Systemctl(host.Enable, "d.service")
			s.machine.FailUnit("d.service")
		}, "need restart d.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withDaemon(t)
			s.machine.WriteFile("/usr/lib/systemd/system/d.service",
				fake.Service("/usr/sbin/d")+"\n[Install]\nWantedBy=multi-user.target\n")
			cl := s.open()
			cl.hello("r1")
			cl.check(conf, service("d", conf))
			cl.apply(conf)
			c.between(s)
			want(t, cl.endPlay(), c.end)
			want(t, cl.endPlay(), "")
			cl.bye()
			mustNotExist(t, s.config.State+"/open/r1")
		})
	}
}

func TestARestartThatFails(t *testing.T) {
	s := withDaemon(t)
	breaks, conf := file("/etc/breaks-d", "boom"), option("d", "on")
	cl := s.open()
	cl.hello("r1")
	cl.check(breaks, conf, service("d", breaks))
	want(t, cl.apply(conf, breaks), "daemon_option.d applying, daemon_option.d pending, file.etc/breaks-d applying, file.etc/breaks-d changed")
	want(t, cl.endPlay(), "need restart d.service FAILED, daemon_option.d failed")
	want(t, cl.undo(), "file.etc/breaks-d undone, daemon_option.d undone, need restart d.service")
	cl.bye()
	if u := s.machine.UnitState("d.service"); u.ActiveState != "active" {
		t.Errorf("after the undo the service is %s", u.ActiveState)
	}
}

func TestNeedsSurviveACutSession(t *testing.T) {
	conf := file("/etc/d.conf", "x")
	svc := service("d", conf)
	for _, c := range []struct {
		name         string
		again        []step.Unit
		check, apply string
		end          string
	}{
		{"settled at the service", []step.Unit{conf, svc},
			"file.etc/d.conf ok, service.d planned", "file.etc/d.conf ok, need restart d.service, service.d changed", ""},
		{"shown at the step that raised it, where no step settles it", []step.Unit{conf},
			"file.etc/d.conf planned", "file.etc/d.conf pending", "need restart d.service, file.etc/d.conf changed"},
		{"not this playbook's", []step.Unit{file("/etc/y", "")}, "file.etc/y planned",
			"file.etc/y applying, file.etc/y changed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withDaemon(t)
			cl := s.open()
			cl.hello("r1")
			cl.check(conf, svc)
			cl.apply(conf)
			cl.cut()
			old := s.startedAt()

			cl = s.open()
			r := cl.hello("r2")
			if h := r.events[0].Hello; len(h.Open) != 1 || h.Open[0] != "r1" {
				t.Errorf("open runs: %v", h.Open)
			}
			checked := cl.check(c.again...)
			want(t, checked, c.check)
			planned := map[string]string{}
			for _, e := range checked.events {
				if e.Unit != nil && e.Unit.State == wire.Planned {
					planned[e.Unit.Address] = e.Unit.Finding.Digest()
				}
			}
			want(t, cl.do(wire.Request{Apply: &wire.Apply{Play: "p", Units: c.again, Planned: planned}}), c.apply)
			want(t, cl.endPlay(), c.end)
			cl.bye()
			settled := !strings.Contains(c.name, "not this")
			if (s.startedAt() != old) != settled {
				t.Errorf("restarted: %v", s.startedAt() != old)
			}
			cl = s.open()
			if h := cl.hello("r3").events[0].Hello; (len(h.Open) == 0) != settled {
				t.Errorf("open runs afterwards: %v", h.Open)
			}
			cl.bye()
		})
	}
}

func TestPendingSurvivesACutSession(t *testing.T) {
	s := withDaemon(t)
	opt := option("d", "on")
	cl := s.open()
	cl.hello("r1")
	want(t, cl.apply(opt), "daemon_option.d applying, daemon_option.d pending")
	cl.cut()
	cl = s.open()
	cl.hello("r2")
	want(t, cl.check(opt), "daemon_option.d planned")
	want(t, cl.apply(opt), "daemon_option.d applying, daemon_option.d pending")
	want(t, cl.endPlay(), "need restart d.service, daemon_option.d changed")
	cl.bye()
	// What r1 found is r2's by now: rolling r2 back brings it.
	cl = s.open()
	cl.hello("r3")
	want(t, cl.do(wire.Request{Rollback: &wire.Rollback{Runs: []string{"r2"}}}),
		"need restart d.service, daemon_option.d undone, run r2 undone 0/1")
	cl.bye()
	if v, there := s.machine.File("/run/d.service"); there {
		t.Errorf("the daemon still runs with %q", v)
	}
}

func TestAnUndoneChangeThatTheServiceNeverSawNeedsNoRestart(t *testing.T) {
	s := withDaemon(t)
	conf := file("/etc/d.conf", "x")
	old := s.startedAt()
	cl := s.open()
	cl.hello("r1")
	cl.check(conf, service("d", conf))
	// The fake's clock moves with starts alone.
	s.machine.WriteFile("/usr/lib/systemd/system/e.service", fake.Service("/usr/sbin/e"))
	s.machine.Systemctl(host.Start, "e.service")
	want(t, cl.apply(conf), "file.etc/d.conf applying, file.etc/d.conf changed")
	want(t, cl.undo(), "file.etc/d.conf undone")
	cl.bye()
	if s.startedAt() != old {
		t.Error("the service was restarted")
	}
}

func TestAServiceThatDoesNotStayUp(t *testing.T) {
	s := withDaemon(t)
	conf := file("/etc/d.conf", "x")
	s.config.Host.Units = failsLater{s.config.Host.Units, s.machine}
	cl := s.open()
	cl.hello("r1")
	cl.check(conf, service("d", conf))
	cl.apply(conf)
	r := cl.endPlay()
	want(t, r, "need restart d.service FAILED")
	if e := r.events[0].Need.Error; !strings.Contains(e, "did not stay up") {
		t.Errorf("said %q", e)
	}
	cl.bye()
}
