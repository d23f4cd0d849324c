package fake_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/engine/host"
	"weft/engine/host/doortest"
	"weft/engine/host/fake"
	"weft/engine/host/frame"
)

func TestDoors(t *testing.T) {
	m := fake.New()
	m.SetKernel("/proc/self/oom_score_adj", "0\n")
	m.LinkKernel("/proc/self/cwd", "/")
	m.Program("cat", func(_ *fake.Machine, c host.Command) host.Result { return host.Result{Stdout: c.Stdin} })
	m.Program("false", func(*fake.Machine, host.Command) host.Result { return host.Result{Exit: 1} })
	m.Program("ls", func(*fake.Machine, host.Command) host.Result {
		return host.Result{Exit: 2, Stderr: []byte("ls: cannot access\n")}
	})
	before := m.Snapshot()
	doortest.Run(t, m.Host())
	m.SetKernel("/proc/self/oom_score_adj", "0\n")
	if after := m.Snapshot(); after != before {
		t.Errorf("the suite left something behind:\n%s\nbefore it:\n%s", after, before)
	}
}

func TestCapture(t *testing.T) {
	m := fake.New()
	m.AddNamespace("vm")
	arp := []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6}
	m.Frame("", "lo", host.Out, arp) // before it begins: seen by nobody
	taps := []host.Tap{
		{Link: "lo", Match: frame.Match{EtherType: frame.ARP}, Direction: host.Out, Enough: 1},
		{Namespace: "vm", Link: "lo"},
	}
	seen, err := m.Host().Packets.Capture(t.Context(), taps, func(ctx context.Context) error {
		m.Frame("", "lo", host.In, arp)
		m.LoseFrames("vm", "lo", 3)
		if ctx.Err() != nil {
			t.Error("enough before anything was seen")
		}
		m.Frame("", "lo", host.Out, arp)
		<-ctx.Done()
		return nil
	})
	want := []host.Seen{{Frames: 1, Matched: 1, Kinds: map[string]int{"ARP": 1}}, {Lost: 3}}
	if diff := cmp.Diff(want, seen); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestDaemonsAnswerWhileTheyRun(t *testing.T) {
	m := fake.New()
	m.OnAsk(func(_ *fake.Machine, daemon, command string, args []string) (string, error) {
		return daemon + " " + command + " " + strings.Join(args, " "), nil
	})
	d := m.Host().Daemons
	if _, err := d.Ask(t.Context(), "ovs-vswitchd", "lacp/show"); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("of none: %v", err)
	}
	m.AddOpenVSwitch()
	if got, err := d.Ask(t.Context(), "ovs-vswitchd", "lacp/show", "bond0"); err != nil || got != "ovs-vswitchd lacp/show bond0" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := d.Ask(t.Context(), "ovs-vswitchd", "exit"); err == nil {
		t.Error("a command that changes something is asked")
	}
}

// TestFrames: what comes back is what the hook says, captures see both ways, and a
// wait for more ends at once.
func TestFrames(t *testing.T) {
	m := fake.New()
	arp := []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6}
	m.OnFrame(func(_ *fake.Machine, namespace, link string, b []byte) [][]byte {
		if namespace != "" || link != "lo" {
			t.Errorf("asked of %s in %q", link, namespace)
		}
		return [][]byte{b, b}
	})
	m = m.Clone()
	h := m.Host()
	if _, err := h.Frames.Attach(t.Context(), "", "eth7"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such link: %v", err)
	}
	w, err := h.Frames.Attach(t.Context(), "", "lo")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := h.Packets.Capture(t.Context(), []host.Tap{{Link: "lo", Direction: host.Out}, {Link: "lo", Direction: host.In}}, func(ctx context.Context) error {
		return w.Send(ctx, arp)
	})
	if err != nil || seen[0].Frames != 1 || seen[1].Frames != 2 {
		t.Errorf("seen %+v, %v", seen, err)
	}
	for range 2 {
		if b, err := w.Receive(t.Context()); err != nil || string(b) != string(arp) {
			t.Errorf("got % x, %v", b, err)
		}
	}
	if b, err := w.Receive(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got % x, %v", b, err)
	}
	m.SetLink("", "lo", host.LinkChange{Up: new(bool)})
	if err := w.Send(t.Context(), arp); !errors.Is(err, syscall.ENETDOWN) {
		t.Errorf("down: %v", err)
	}
}
