package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
	"weft/engine/wire"
)

const (
	managementBridge = "playbooks/ovs-management-bridge.hcl"
	guardedHost      = "ubuntu2"
	// slack is what a host may take beyond the guard's time to be back.
	slack = 10 * time.Second
)

// TestGuard moves the NIC that carries SSH into a bridge: well, with the wrong
// VLAN, with the power cut in between, and with a controller that dies. It is
// done once, and twenty times with WEFT_CHAOS_WHOLE=1.
func TestGuard(t *testing.T) {
	t.Parallel()
	labUp(t, inventory)
	g := guardTest{args: []string{managementBridge, "-i", inventory, "-l", guardedHost}}
	converged(t, append(g.args, "--tags", "prepare")...)
	rounds := 1
	if os.Getenv("WEFT_CHAOS_WHOLE") != "" {
		rounds = 20
	}
	injected, survived := 0, 0
	for round := range rounds {
		for _, c := range []struct {
			name string
			do   func(guardTest, *testing.T)
		}{
			{"right VLAN", guardTest.right},
			{"wrong VLAN", guardTest.wrong},
			{"power cut", guardTest.powerCut},
			{"controller killed", guardTest.killed},
		} {
			injected++
			if t.Run(fmt.Sprintf("%s %d", c.name, round+1), func(t *testing.T) { c.do(g, t) }) {
				survived++
			}
		}
	}
	t.Logf("%d injected, %d survived", injected, survived)
}

type guardTest struct{ args []string }

// A network is what a host's network looks like, and what keeps it so.
func network(t testing.TB) string {
	t.Helper()
	return on(t, guardedHost, strings.Join([]string{
		"ip -o address show | grep -v 'scope link' | sed 's/valid_lft.*//; s/ nodad//; s/^[0-9]*: //' | sort", "ip route show", "ip -6 route show | grep -v fe80 | sed 's/expires.*//'",
		"head -c 100000 /etc/network/interfaces /etc/network/interfaces.d/*", "sudo ovs-vsctl --no-headings --columns=name list port | sort",
		"systemctl is-enabled weft-guard.service 2>&1 || true", "systemctl --failed --plain --no-legend | awk '{print $1}'", "sudo ls /var/lib/weft/guard 2>/dev/null | grep -v report || true",
	}, "; "))
}

// right moves the NIC, confirms it, reboots, finds it there, and moves it back.
func (g guardTest) right(t *testing.T) {
	before := network(t)
	recap := converged(t, g.args...)
	if n := changed(recap); n != 4 {
		t.Errorf("%d steps changed", n)
	}
	where := func() string {
		return strings.TrimSpace(on(t, guardedHost, "ip -o -4 address show scope global up | awk '{print $2}'"))
	}
	if got := where(); got != "mgmt0" {
		t.Errorf("the address is on %s", got)
	}
	must(t, "lab", "reboot", "-i", inventory, guardedHost)
	reachable(t, time.Now().Add(time.Minute))
	if got := where(); got != "mgmt0" {
		t.Errorf("after a reboot the address is on %s", got)
	}
	again := converged(t, g.args...)
	if n := changed(again); n != 0 {
		t.Errorf("after a reboot %d steps changed", n)
	}
	must(t, "rollback", "-y", recap.Run, "-i", inventory, "-l", guardedHost)
	same(t, before)
}

// wrong moves it into a VLAN that nobody answers in.
func (g guardTest) wrong(t *testing.T) {
	before := network(t)
	a := g.apply(t, 15*time.Second)
	a.until(t, func(e run.Event) bool { return e.Type == run.HostGuard && e.Guard.State == wire.GuardArmed })
	deadline := time.Now().Add(15*time.Second + slack)
	unreachable(t)
	reachable(t, deadline)
	recap := a.recap(t)
	if c := recap.Hosts[guardedHost]; recap.Exit != run.RolledBack || c.RolledBack != 4 {
		t.Errorf("it ended as %d, %+v", recap.Exit, c)
	}
	same(t, before)
}

// powerCut does the same, and the power goes while the guard stands.
func (g guardTest) powerCut(t *testing.T) {
	before := network(t)
	a := g.apply(t, 2*time.Minute)
	a.until(t, func(e run.Event) bool { return e.Type == run.HostGuard && e.Guard.State == wire.GuardArmed })
	unreachable(t)
	must(t, "lab", "power-cycle", "-i", inventory, guardedHost)
	reachable(t, time.Now().Add(time.Minute))
	if recap := a.recap(t); recap.Exit != run.RolledBack {
		t.Errorf("it ended as %d, %+v", recap.Exit, recap.Hosts)
	}
	same(t, before)
}

// killed moves it well, but nobody is left to say so; and somebody reloads
// systemd and kills what watches the guard.
func (g guardTest) killed(t *testing.T) {
	before := network(t)
	a := g.apply(t, 8*time.Second, "--var", "vlan=10", "--commit-by-hand")
	a.until(t, func(e run.Event) bool { return e.Type == run.HostGuard && e.Guard.State == wire.GuardArmed })
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.cmd.Wait()
	reachable(t, time.Now().Add(slack))
	on(t, guardedHost, "sudo systemctl daemon-reload && sudo systemctl kill --signal=TERM weft-guard.service")
	on(t, guardedHost, "for i in $(seq 50); do systemctl is-active -q weft-guard.service && break; sleep 0.1; done; sudo systemctl kill --signal=KILL weft-guard.service")
	gone := time.Now().Add(8*time.Second + slack)
	for network(t) != before && time.Now().Before(gone) {
		wait(t)
	}
	same(t, before)
	recap := converged(t, g.args...) // and the next run is told
	must(t, "rollback", "-y", recap.Run, "-i", inventory, "-l", guardedHost)
	same(t, before)
}

// same wants the host's network to be as it was, once all is decided.
func same(t *testing.T, before string) {
	t.Helper()
	deadline := time.Now().Add(slack)
	for network(t) != before && time.Now().Before(deadline) {
		wait(t)
	}
	if after := network(t); after != before {
		t.Errorf("the host is\n%s\nand was\n%s", after, before)
	}
}

// reachable waits until somebody can log in, over a new connection.
func reachable(t *testing.T, deadline time.Time) {
	t.Helper()
	for {
		err := login(t)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody can log in: %v", err)
		}
		wait(t)
	}
}

// unreachable waits until nobody can.
func unreachable(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(slack)
	for login(t) == nil {
		if time.Now().After(deadline) {
			t.Fatal("the host can still be reached: the change did not cut its way")
		}
	}
}

func login(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "ssh", "-F", sshConfig(t), "-o", "ConnectTimeout=2", guardedHost, "true").Run()
}

// wait lets a moment pass before something outside is asked again.
func wait(t testing.TB) {
	t.Helper()
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// An apply that can be watched.
type watched struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
	last   run.Event
}

// apply begins to move the NIC into the wrong VLAN.
func (g guardTest) apply(t *testing.T, guard time.Duration, args ...string) *watched {
	t.Helper()
	all := append([]string{"apply", "-y", "-o", "json", "--guard-time", guard.String(), "--var", "vlan=20"}, g.args...)
	w := &watched{cmd: command(t.Context(), t, append(all, args...)...)}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.lines = bufio.NewScanner(out)
	w.lines.Buffer(nil, 1<<20)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// next reads an event; the recap, which ends them, is none.
func (w *watched) next(t *testing.T) bool {
	t.Helper()
	if !w.lines.Scan() || bytes.HasPrefix(w.lines.Bytes(), []byte(`{"type":"recap"`)) {
		return false
	}
	w.last = run.Event{}
	if err := json.Unmarshal(w.lines.Bytes(), &w.last); err != nil {
		t.Fatalf("%v: %s", err, w.lines.Bytes())
	}
	return true
}

func (w *watched) until(t *testing.T, enough func(run.Event) bool) {
	t.Helper()
	for w.next(t) {
		if enough(w.last) {
			return
		}
	}
	t.Fatalf("it ended before that was seen\n%s", &w.stderr)
}

// recap waits for the end.
func (w *watched) recap(t *testing.T) run.Recap {
	t.Helper()
	for w.next(t) { // whatever it has to say
	}
	line := bytes.Clone(w.lines.Bytes())
	_ = w.cmd.Wait()
	var recap run.Recap
	if err := json.Unmarshal(line, &recap); err != nil {
		t.Fatalf("no recap: %v: %s\n%s", err, line, &w.stderr)
	}
	return recap
}
