package network

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
)

// TestMain lets the test binary stand in for the runner under the laws on a
// real host, where it is what the echo service runs.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "echo" {
		l, err := net.Listen("tcp", os.Args[2])
		if err != nil {
			panic(err)
		}
		defer l.Close()
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return
	}
	os.Exit(m.Run())
}

func whole() FakeVMSpec {
	return FakeVMSpec{
		Name: vm, Bridge: "br-int", Type: "veth", IfaceID: step.Is("ls1-vm1"), MAC: step.Is(mac),
		Addresses: []string{"172.16.255.11/24"}, MTU: step.Is(1442), Listen: step.Is(7),
	}
}

func made(t *testing.T, spec FakeVMSpec) step.Step {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := fakeVMKind().Make(step.Unit{Address: "fake_vm.a", Name: "a", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func converge(t *testing.T, s step.Step, m *fake.Machine) step.Finding {
	t.Helper()
	f, err := s.Check(t.Context(), m.Host().View())
	if err == nil && f.Changed() {
		err = s.Apply(t.Context(), m.Host(), f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if after, err := s.Check(t.Context(), m.Host().View()); err != nil || after.Changed() {
		t.Fatalf("after the apply: %v, %v", after.Deltas, err)
	}
	return f
}

// TestLinkDrift is what must hold though no attribute says so.
func TestLinkDrift(t *testing.T) {
	home := ""
	for path, drift := range map[string]func(*fake.Machine){
		"link.up":           set(vm, "eth0", host.LinkChange{Up: new(false)}),
		"link.port_up":      set("", vm, host.LinkChange{Up: new(false)}),
		"link.loopback_up":  set(vm, "lo", host.LinkChange{Up: new(false)}),
		"link.checksum":     set(vm, "eth0", host.LinkChange{Checksum: new(true)}),
		"link.attached_mac": vmKey("attached-mac", "02:00:00:00:00:66"),
		"link.listening":    func(m *fake.Machine) { m.FailUnit(echoUnit(vm)) },
		"interface":         func(m *fake.Machine) { m.RemoveLink("", vm) },
		"addresses":         func(m *fake.Machine) { m.RemoveNamespace(vm) },
		"bridge":            unplug(vm),
		"listen":            func(m *fake.Machine) { m.Remove(echoPath(vm)) },
	} {
		m := hypervisor()
		s := made(t, whole())
		first := converge(t, s, m)
		good := m.Snapshot()
		drift(m)
		f, err := s.Check(t.Context(), m.Host().View())
		if err != nil || !strings.Contains(pathsOf(f), " "+path+" ") {
			t.Errorf("%s: found %q, %v", path, pathsOf(f), err)
		}
		converge(t, s, m)
		if got := withoutPortMAC(m); got != withoutPortMACText(good) {
			t.Errorf("%s: repaired, but\n%s", path, got)
		}
		first.Settled = true
		if err := s.Undo(t.Context(), m.Host(), first); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	// An internal port comes home when Open vSwitch starts again.
	m := hypervisor()
	internal := whole()
	internal.Type = "internal"
	s := made(t, internal)
	converge(t, s, m)
	m.SetLink(vm, vm, host.LinkChange{Namespace: &home})
	if f, err := s.Check(t.Context(), m.Host().View()); err != nil || !strings.Contains(pathsOf(f), " link.inside ") {
		t.Errorf("found %q, %v", pathsOf(f), err)
	}
	converge(t, s, m)
	if l, there := m.Link(vm, vm); !there || l.MAC != mac || len(l.Addresses) != 1 {
		t.Errorf("came back as %v", l)
	}
}

func pathsOf(f step.Finding) string {
	out := " "
	for _, d := range f.Deltas {
		out += d.Path + " "
	}
	return out
}

// withoutPortMAC is a snapshot without what a veth that was made anew chooses.
func withoutPortMAC(m *fake.Machine) string { return withoutPortMACText(m.Snapshot()) }

func withoutPortMACText(snapshot string) string {
	var out []string
	for line := range strings.Lines(snapshot) {
		if i := strings.Index(line, "mac 0a:"); i >= 0 {
			line = line[:i] + line[i+len("mac 0a:00:00:00:00:00"):]
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

func TestDeadPortIsNotDone(t *testing.T) {
	m := hypervisor()
	s := made(t, whole())
	f, err := s.Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	m.OnTransact(func(m *fake.Machine) {
		m.Transact(host.OpenVSwitch, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "Interface", Row: ovsdb.Row{"ofport": row.Optional(-1), "error": row.Optional("no such device")}})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Apply(ctx, m.Host(), f); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("a port that Open vSwitch refuses: %v", err)
	}
	if f, err = s.Check(t.Context(), m.Host().View()); err != nil || !strings.Contains(pathsOf(f), " link.alive ") {
		t.Errorf("a dead port counts as done: %q, %v", pathsOf(f), err)
	}
}

func TestVMWaitsForItsBridge(t *testing.T) {
	spec := whole()
	spec.Bridge = "br-none"
	if _, err := made(t, spec).Check(t.Context(), hypervisor().Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("got %v", err)
	}
	if _, err := made(t, whole()).Check(t.Context(), fake.New().Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without Open vSwitch: %v", err)
	}
	spec.State = step.Absent
	if f, err := made(t, spec).Check(t.Context(), fake.New().Host().View()); err != nil || f.Changed() {
		t.Errorf("absent without Open vSwitch: %v, %v", f.Deltas, err)
	}
}

func TestOthersLinksStay(t *testing.T) {
	m := hypervisor()
	converge(t, made(t, whole()), m)
	m.AddLink(vm, host.Link{Name: "tun7", Kind: "tun"})
	gone := whole()
	gone.State = step.Absent
	if _, err := made(t, gone).Check(t.Context(), m.Host().View()); err == nil || !strings.Contains(err.Error(), "tun7") {
		t.Errorf("a namespace with another's link may go: %v", err)
	}
	// A veth of that name which leads elsewhere is nobody of ours.
	m = hypervisor()
	m.AddVeth(vm, "elsewhere")
	if f, err := made(t, gone).Check(t.Context(), m.Host().View()); err != nil || f.Changed() {
		t.Errorf("another's veth would go: %v, %v", f.Deltas, err)
	}
	f, err := made(t, whole()).Check(t.Context(), m.Host().View())
	if err != nil {
		t.Fatal(err)
	}
	if err := made(t, whole()).Apply(t.Context(), m.Host(), f); err == nil || !strings.Contains(err.Error(), "does not lead to the VM") {
		t.Errorf("another's veth was taken: %v", err)
	}
}

func TestVMSpecProblems(t *testing.T) {
	good := whole()
	if p := good.Validate(); len(p) > 0 {
		t.Errorf("a good spec is refused: %v", p)
	}
	for want, change := range map[string]func(*FakeVMSpec){
		"name":                    func(s *FakeVMSpec) { s.Name = "../x" },
		"name:long":               func(s *FakeVMSpec) { s.Name = "a-name-of-a-machine" },
		"port":                    func(s *FakeVMSpec) { s.Port = step.Is("a-port-of-a-machine") },
		"interface":               func(s *FakeVMSpec) { s.Interface = step.Is("eth 0") },
		"interface:internal":      func(s *FakeVMSpec) { s.Type, s.Port, s.Interface = "internal", step.Is("p1"), step.Is("eth0") },
		"mac":                     func(s *FakeVMSpec) { s.MAC = step.Is("02:ac:10:ff:00") },
		"mac:group":               func(s *FakeVMSpec) { s.MAC = step.Is("03:ac:10:ff:00:11") },
		"addresses":               func(s *FakeVMSpec) { s.Addresses = []string{"172.16.255.11"} },
		"mtu":                     func(s *FakeVMSpec) { s.MTU = step.Is(20) },
		"gateway":                 func(s *FakeVMSpec) { s.Gateway = step.Is("172.16.255.1/24") },
		"routes":                  func(s *FakeVMSpec) { s.Routes = map[string]step.Attr[string]{"x": step.Is("10.0.0.1")} },
		"routes.0.0.0.0/0":        func(s *FakeVMSpec) { s.Routes = map[string]step.Attr[string]{"0.0.0.0/0": step.Is("10.0.0.1")} },
		"routes.10.0.0.0/8:alias": func(s *FakeVMSpec) { s.Routes = map[string]step.Attr[string]{"10.0.0.0/8": step.Is("gw")} },
		"listen":                  func(s *FakeVMSpec) { s.Listen = step.Is(70000) },
	} {
		s := good
		change(&s)
		path, _, _ := strings.Cut(want, ":")
		if want == "routes.10.0.0.0/8:alias" {
			path = "routes.10.0.0.0/8"
		}
		if p := s.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", want, p)
		}
	}
}

func TestKindsAreATable(t *testing.T) {
	if n := len(step.NewTable(Kinds())); n != len(Kinds()) {
		t.Errorf("%d kinds of %d", n, len(Kinds()))
	}
}

func FuzzEchoPort(f *testing.F) {
	f.Add(echoText("vm1", "/x", 7))
	f.Add("ExecStart=/x echo [::]:0")
	f.Fuzz(func(t *testing.T, text string) {
		if port, ok := echoPort(text); ok && (port < 1 || port > 65535) {
			t.Errorf("%d from %q", port, text)
		}
	})
}

// TestAnotherPortIsListenedOn needs a restart: a running service goes on with
// the port that it was started with.
func TestAnotherPortIsListenedOn(t *testing.T) {
	m := hypervisor()
	converge(t, made(t, whole()), m)
	before := m.UnitState(echoUnit(vm)).StartedAt
	other := whole()
	other.Listen = step.Is(8)
	converge(t, made(t, other), m)
	if after := m.UnitState(echoUnit(vm)).StartedAt; after == before {
		t.Error("the echo service still listens on the first port")
	}
}
