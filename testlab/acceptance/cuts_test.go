package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPowerCuts cuts a machine's power at every effect of a trial of kernel
// arguments: while it is ordered, while it is made permanent, and while it is
// taken back. It always boots, and the run or another
// one goes on. It takes three quarters of an hour: `make boots`.
func TestPowerCuts(t *testing.T) {
	if os.Getenv("WEFT_BOOTS") == "" {
		t.Skip("takes three quarters of an hour; `make boots` runs it")
	}
	if _, err := os.Stat(chaosBinary(t)); err != nil {
		t.Fatalf("bin/chaos/weft is not there; `make bin/chaos/weft` makes it: %v", err)
	}
	labUp(t, bootsLab)
	for lane, host := range []string{"bios", "uefi"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			c := newCutter(t, host)
			effects := c.record()
			left := map[string][]cut{}
			for direction, all := range effects {
				for i, e := range all {
					if i%2 == lane {
						left[direction] = append(left[direction], e)
					}
				}
			}
			c.walk(left)
		})
	}
}

// A cut is an effect after or before which the power goes.
type cut struct {
	Stage  string `json:"stage,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Door   string `json:"door,omitempty"`
	Verb   string `json:"verb,omitempty"`
	Object string `json:"object,omitempty"`
	When   string `json:"when,omitempty"`
	Record bool   `json:"record,omitempty"`
}

// cutter has a machine whose runners can be stopped at an effect. The orders lie
// on its disk, and tmpfiles.d(5) puts them in their place at each boot.
type cutter struct {
	labHost
	lab      *chaosLab
	playbook string
	found    string
}

func newCutter(t *testing.T, host string) *cutter {
	h := labHost{t, bootsLab, host}
	h.sees(`printf 'd /run/weft 0700\nC /run/weft/chaos - - - - /root/chaos\nL /run/weft/chaos.effects - - - - /root/chaos.effects\n' > /etc/tmpfiles.d/chaos.conf`)
	c := &cutter{labHost: h, lab: &chaosLab{temp: t.TempDir(), home: t.TempDir()}, playbook: h.play(cmdlineStep(harmless))}
	c.order(nil)
	c.found = h.sees(bareServer)
	return c
}

// order has the runner stop at the first of some effects, from now on and from
// each boot on.
func (c *cutter) order(cuts []cut) {
	c.t.Helper()
	c.orderNext(cuts)
	c.sees("rm -f /run/weft/chaos /run/weft/chaos.reached && systemd-tmpfiles --create chaos.conf")
}

// orderNext is order from the next boot on.
func (c *cutter) orderNext(cuts []cut) {
	c.t.Helper()
	text, err := json.Marshal(append([]cut{}, cuts...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.sees(fmt.Sprintf("echo '%s' > /root/chaos && sync", text))
}

// record tries arguments and takes them back, and returns the effects of both
// ways.
func (c *cutter) record() map[string][]cut {
	c.t.Helper()
	effects := map[string][]cut{}
	for _, way := range []string{"apply", "rollback"} {
		c.sees("rm -f /root/chaos.effects; touch /root/chaos.effects; sync")
		c.order([]cut{{Record: true}})
		if exit, said := c.run(way, nil); exit != 0 {
			c.t.Fatalf("%s: exit %d\n%s", way, exit, said)
		}
		for line := range strings.Lines(c.sees("cat /root/chaos.effects")) {
			var e cut
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				c.t.Fatalf("%q: %v", line, err)
			}
			e.When = []string{"after", "before"}[len(effects[way])%2]
			if !slices.Contains(effects[way], e) {
				effects[way] = append(effects[way], e)
			}
		}
	}
	c.order(nil)
	c.bare()
	c.t.Logf("%d effects on the way there, %d on the way back", len(effects["apply"]), len(effects["rollback"]))
	return effects
}

// bare fails where the machine is not as it was found.
func (c *cutter) bare() {
	c.t.Helper()
	if d := cmp.Diff(c.found, c.sees(bareServer)); d != "" {
		c.t.Errorf("the machine is not as it was found:\n%s", d)
	}
}

// walk goes there and back until the power was cut at every effect, or three
// times did not come to one.
func (c *cutter) walk(left map[string][]cut) {
	c.t.Helper()
	wanted := len(left["apply"]) + len(left["rollback"])
	for range 3 {
		if len(left["apply"])+len(left["rollback"]) == 0 {
			break
		}
		c.goes("apply", left)
		c.runsWith("weft_test=1 weft_other=a,b")
		c.reboot()
		c.runsWith("weft_test=1 weft_other=a,b")
		if exit, said := c.run("apply", nil); exit != 0 || changedAny.MatchString(said) {
			c.t.Errorf("applied again: exit %d\n%s", exit, said)
		}
		c.goes("rollback", left)
		c.bare()
	}
	for way, missed := range left {
		for _, e := range missed {
			c.t.Errorf("no %s came to %+v", way, e)
		}
	}
	missed := len(left["apply"]) + len(left["rollback"])
	fmt.Printf("%s: the power was cut at %d of %d effects\n", c.host, wanted-missed, wanted)
}

// goes runs a command again and again, with a power cut at each effect that is
// left, until it ends well with nothing cut.
func (c *cutter) goes(way string, left map[string][]cut) {
	c.t.Helper()
	for range 2*len(left[way]) + 3 {
		c.order(left[way])
		before := len(left[way])
		exit, said := c.run(way, func(e cut) {
			left[way] = slices.DeleteFunc(left[way], func(o cut) bool { return o == e })
			c.orderNext(left[way])
			must(c.t, "lab", "power-cycle", "-i", c.inventory, c.host)
		})
		c.t.Logf("%s: exit %d, %d cuts", way, exit, before-len(left[way]))
		if exit == 0 && len(left[way]) == before {
			c.order(nil)
			return
		}
		if exit != 0 {
			c.t.Log(said)
		}
	}
	c.t.Fatalf("%s never ends well", way)
}

// run applies, or takes all back, and calls at where the runner stands at an
// effect.
func (c *cutter) run(way string, at func(cut)) (exit int, said string) {
	c.t.Helper()
	args := []string{"apply", "-y", c.playbook, "-i", c.inventory, "-l", c.host, "--lock-timeout", "60s"}
	if way == "rollback" {
		args = append([]string{"rollback", "-y", "-i", c.inventory, "-l", c.host, "--lock-timeout", "60s"}, c.standing()...)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Minute)
	defer cancel()
	cmd := c.lab.command(ctx, c.t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return cmd.ProcessState.ExitCode(), out.String()
		case <-time.After(time.Second):
		}
		r := weft(c.t, "lab", "ssh", "-i", c.inventory, c.host, "--", "timeout 5 cat /run/weft/chaos.reached 2>/dev/null")
		var e cut
		if r.exit == 0 && json.Unmarshal([]byte(r.stdout), &e) == nil && at != nil {
			c.t.Logf("power cut %s %+v", e.When, e)
			at(e)
		}
	}
}

// standing are the runs that are not wholly taken back.
func (c *cutter) standing() []string {
	c.t.Helper()
	var ids []string
	for line := range strings.Lines(must(c.t, "runs", "-i", c.inventory, "-l", c.host)) {
		if id := runID.FindString(line); id != "" && !strings.Contains(line, "  undone  ") {
			ids = append(ids, id)
		}
	}
	return ids
}
