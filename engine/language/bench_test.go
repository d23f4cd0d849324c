package language

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// fleet is an inventory of many hosts, and a play of steps for them: half of
// the steps are the same everywhere.
func fleet(hosts, steps int) map[string]string {
	var inv, play strings.Builder
	inv.WriteString("site = \"bench\"\n")
	for i := range hosts {
		fmt.Fprintf(&inv, `
host "compute%d" {
  address = "10.%d.%d.2"
  roles   = ["compute"]
  vars    = { underlay = "10.%d.%d.3", rack = %d, uplink = "eth1" }
}
`, i, i/256, i%256, i/256, i%256, i/40)
	}
	inv.WriteString("host \"central\" {\n roles = [\"central\"]\n vars = { underlay = \"10.200.0.1\" }\n}\n")
	play.WriteString("variable \"mtu\" { default = 1442 }\nplay \"fleet\" {\n  hosts = role.compute\n")
	for i := range steps {
		switch i % 6 {
		case 0:
			fmt.Fprintf(&play, "  step \"package\" \"package%d\" {}\n", i)
		case 1:
			fmt.Fprintf(&play, "  step \"file\" \"/etc/app/%d.conf\" {\n    content = \"listen=${host.vars.underlay}\\nrack=${host.vars.rack}\\n\"\n    mode = \"0600\"\n  }\n", i)
		case 2:
			fmt.Fprintf(&play, "  step \"service\" \"service%d\" { running = true }\n", i)
		case 3:
			fmt.Fprintf(&play, "  step \"ovn_chassis\" \"c%d\" {\n    remote = [for h in role.central : \"tcp:${h.vars.underlay}:6642\"]\n    encap_type = \"geneve\"\n    encap_ip = host.vars.underlay\n  }\n", i)
		case 4:
			fmt.Fprintf(&play, "  step \"file\" \"/etc/same/%d.conf\" {\n    content = \"mtu=${var.mtu}\\n\"\n    options = { a = \"b\", c = upper(\"d\") }\n  }\n", i)
		case 5:
			fmt.Fprintf(&play, "  step \"ovs_port\" \"p%d\" {\n    bridge = \"br-ext\"\n    tag = host.vars.rack + %d\n    options = { peer = \"${host.name}-%d\", x = \"y\" }\n  }\n", i, i, i)
		}
	}
	play.WriteString("}\n")
	return map[string]string{"play.hcl": play.String(), "inv.hcl": inv.String()}
}

func mustProgram(b *testing.B, files map[string]string) *Program {
	b.Helper()
	c, ds := Load(testKinds(), Sources{Playbook: "play.hcl", Inventories: []string{"inv.hcl"}, Read: fileTree(files)})
	if ds.Failed() {
		b.Fatal(plainText(ds))
	}
	p, ds := c.Bind(Inputs{})
	if ds.Failed() {
		b.Fatal(plainText(ds))
	}
	return p
}

// BenchmarkUnits5000x60 evaluates a play of 60 steps for 5,000 hosts up to the
// JSON of the units, streamed: no more is kept than what is being worked on.
func BenchmarkUnits5000x60(b *testing.B) {
	const hosts, steps = 5000, 60
	p := mustProgram(b, fleet(hosts, steps))
	var before, after runtime.MemStats
	b.ReportAllocs()
	runtime.ReadMemStats(&before)
	cpu := processorTime()
	for b.Loop() {
		everyUnit(b, p)
	}
	runtime.ReadMemStats(&after)
	units := float64(hosts * steps * b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/units, "ns/unit")
	b.ReportMetric(float64((processorTime()-cpu).Nanoseconds())/units, "cpu-ns/unit")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/units, "allocs/unit")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc)/(1<<20), "MB-live")
	runtime.KeepAlive(p)
}

// processorTime is what this process used so far: unlike the clock it says the
// same on a busy machine.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkUnits500x60 is a tenth of it, to see that time grows with the number
// of hosts and no faster.
func BenchmarkUnits500x60(b *testing.B) {
	p := mustProgram(b, fleet(500, 60))
	for b.Loop() {
		everyUnit(b, p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(500*60*b.N), "ns/unit")
}

func everyUnit(b *testing.B, p *Program) {
	play := p.Plays[0]
	var next, bytes atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(play.Hosts)); i = next.Add(1) - 1 {
				units, ds := p.Units(play, play.Hosts[i], Known{})
				if len(ds) > 0 || len(units) != len(play.steps) {
					b.Error(plainText(ds))
					return
				}
				bytes.Add(size(units))
			}
		})
	}
	workers.Wait()
	if bytes.Load() == 0 {
		b.Fatal("no units")
	}
}

func size(units []step.Unit) (n int64) {
	for _, u := range units {
		n += int64(len(u.Spec))
	}
	return n
}

// BenchmarkLoadAndBind5000 parses, checks and binds the inventory and the
// playbook.
func BenchmarkLoadAndBind5000(b *testing.B) {
	files := fleet(5000, 60)
	for b.Loop() {
		mustProgram(b, files)
	}
}

// BenchmarkValidate5000x60 is what every command pays before it connects.
func BenchmarkValidate5000x60(b *testing.B) {
	p := mustProgram(b, fleet(5000, 60))
	for b.Loop() {
		if ds := p.Validate(); ds.Failed() {
			b.Fatal(plainText(ds))
		}
	}
}

// BenchmarkOthers1000 evaluates steps that name outputs of all other hosts: the
// objects of the hosts, and what is made of them, are the same for all.
func BenchmarkOthers1000(b *testing.B) {
	files := fleet(1000, 1)
	files["play.hcl"] = `
play "first" {
  hosts = role.compute
  step "ovn_chassis" "self" {
    remote   = ["x"]
    encap_ip = host.vars.underlay
  }
}
play "second" {
  hosts = role.compute
  step "file" "all" { content = join(",", [for h in role.compute : "${h.step.ovn_chassis.self.system_id}=${h.facts.kernel}"]) }
  step "file" "one" { content = hosts[host.name].step.ovn_chassis.self.system_id }
}
`
	p := mustProgram(b, files)
	known := func() Known {
		return Known{
			Memo:    &Memo{},
			Facts:   func(string) *host.Facts { return &host.Facts{Kernel: "6.1"} },
			Outputs: func(h, _ string) json.RawMessage { return json.RawMessage(`{"system_id":"` + h + `"}`) },
		}
	}
	for b.Loop() {
		k := known()
		for _, h := range p.Plays[1].Hosts {
			if units, ds := p.Units(p.Plays[1], h, k); len(ds) > 0 || len(units) != 2 {
				b.Fatal(plainText(ds))
			}
		}
	}
}
