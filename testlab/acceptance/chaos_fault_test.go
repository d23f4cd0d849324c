package acceptance

import (
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// A fault is something that breaks while a host's runner stands at an effect.
type fault struct {
	name string
	// hurt does it, lets the runner go on where it still can, and ends when
	// the fault is over. next, where not nil, is armed before the runner goes on.
	hurt func(t *testing.T, l *chaosLab, host string, controller *exec.Cmd, next *spot, ended <-chan struct{})
}

// faults are in this order, so that neighbours on a walk differ.
var faults = []fault{
	{"runner killed", killRunner},
	{"controller killed", killController},
	{"link cut for a moment", cutFor(3 * time.Second)},
	{"disk filled", fillDisk},
	{"sshd restarted", restartSSH},
	{"power cycled", powerCycle},
	{"link cut for longer than a lease", cutFor(40 * time.Second)},
}

func killRunner(t *testing.T, l *chaosLab, host string, _ *exec.Cmd, next *spot, _ <-chan struct{}) {
	pid := l.runner(t, host)
	l.armNext(t, next)
	on(t, host, fmt.Sprintf("rm -f /run/weft/chaos.reached; kill -9 %d", pid))
}

func killController(t *testing.T, l *chaosLab, host string, controller *exec.Cmd, _ *spot, ended <-chan struct{}) {
	if err := controller.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	on(t, host, "touch /run/weft/chaos.go")
}

// cutFor cuts the link that the controller comes by. The runner goes on
// meanwhile.
func cutFor(while time.Duration) func(*testing.T, *chaosLab, string, *exec.Cmd, *spot, <-chan struct{}) {
	return func(t *testing.T, l *chaosLab, host string, _ *exec.Cmd, next *spot, ended <-chan struct{}) {
		l.armNext(t, next)
		on(t, host, "rm -f /run/weft/chaos.reached; systemd-run -q --on-active=1 touch /run/weft/chaos.go")
		must(t, "lab", "cut", "-i", inventory, host)
		select {
		case <-ended:
		case <-time.After(while):
		}
		must(t, "lab", "mend", "-i", inventory, host)
	}
}

// fillDisk leaves no byte until the command has ended, or for so long that what
// can fail has failed.
func fillDisk(t *testing.T, l *chaosLab, host string, _ *exec.Cmd, next *spot, ended <-chan struct{}) {
	must(t, "lab", "fill", "-i", inventory, host)
	l.armNext(t, next)
	on(t, host, "rm -f /run/weft/chaos.reached; touch /run/weft/chaos.go")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
	}
	must(t, "lab", "free", "-i", inventory, host)
}

func restartSSH(t *testing.T, l *chaosLab, host string, _ *exec.Cmd, next *spot, _ <-chan struct{}) {
	l.armNext(t, next)
	on(t, host, "rm -f /run/weft/chaos.reached; systemctl restart ssh && touch /run/weft/chaos.go")
}

func powerCycle(t *testing.T, l *chaosLab, host string, _ *exec.Cmd, next *spot, _ <-chan struct{}) {
	if next != nil && next.host != host {
		l.arm(t, *next)
	}
	must(t, "lab", "power-cycle", "-i", inventory, host)
	if next != nil && next.host == host {
		l.arm(t, *next)
	}
}

// armNext arms the next spot while the runner still stands at this one.
func (l *chaosLab) armNext(t *testing.T, next *spot) {
	if next != nil {
		l.arm(t, *next)
	}
}
