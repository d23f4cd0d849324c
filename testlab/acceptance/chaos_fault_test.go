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
	// the fault is over.
	hurt func(t *testing.T, v victim)
}

// A victim is what a fault befalls.
type victim struct {
	lab        *chaosLab
	host       string
	wanted     []*injection // that are still to come
	controller *exec.Cmd
	ended      <-chan struct{} // closed when the controller has ended
}

// faults are in this order, so that neighbours on a walk differ.
var faults = []fault{
	{"runner killed", killRunner},
	{"controller killed", killController},
	{"link cut for a moment", cutFor(3 * time.Second)},
	{"disk filled", fillDisk},
	{"sshd restarted", restartSSH},
	{"power cycled", powerCycle},
	{"link cut for longer than a lease", cutFor(35 * time.Second)},
}

func killRunner(t *testing.T, v victim) {
	pid := v.lab.runner(t, v.host)
	v.armAgain(t)
	on(t, v.host, fmt.Sprintf("kill -9 %d", pid))
}

func killController(t *testing.T, v victim) {
	if err := v.controller.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-v.ended
	on(t, v.host, "cd /run/weft; rm -f chaos.reached; touch chaos.go")
}

// cutFor cuts the link that the controller comes by. The runner goes on
// meanwhile.
func cutFor(while time.Duration) func(*testing.T, victim) {
	return func(t *testing.T, v victim) {
		v.armAgain(t)
		on(t, v.host, "systemd-run -q --on-active=1 touch /run/weft/chaos.go")
		must(t, "lab", "cut", "-i", inventory, v.host)
		v.endedWithin(while)
		must(t, "lab", "mend", "-i", inventory, v.host)
	}
}

// fillDisk leaves no byte until the command has ended, or for so long that what
// can fail has failed.
func fillDisk(t *testing.T, v victim) {
	must(t, "lab", "fill", "-i", inventory, v.host)
	v.armAgain(t)
	on(t, v.host, "touch /run/weft/chaos.go")
	v.endedWithin(10 * time.Second)
	must(t, "lab", "free", "-i", inventory, v.host)
}

func restartSSH(t *testing.T, v victim) {
	v.armAgain(t)
	on(t, v.host, "systemctl restart ssh && touch /run/weft/chaos.go")
}

func powerCycle(t *testing.T, v victim) {
	must(t, "lab", "power-cycle", "-i", inventory, v.host)
	v.armAgain(t)
}

// armAgain arms what is still to come on this host, on which the runner still
// stands.
func (v victim) armAgain(t *testing.T) { v.lab.arm(t, v.host, v.wanted) }

// endedWithin waits for the controller to end, for so long at most.
func (v victim) endedWithin(d time.Duration) {
	select {
	case <-v.ended:
	case <-time.After(d):
	}
}
