package acceptance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leftovers is what weft may leave nowhere once all was taken back: guards,
// leases, marks of open runs, temporary files, processes.
const leftovers = `ls -d /var/lib/weft/guard /var/lib/weft/open/* /run/weft/lease /run/weft/chaos* /etc/systemd/system/weft-guard.service /etc/systemd/system/*.wants/weft-guard.service /.weft-lab-ballast 2>/dev/null
find / -xdev \( -name '*.next' -o -name '*.tmp' -o -name '*.new' -o -name '.weft-*' \) -not -path '/proc/*' 2>/dev/null
systemctl list-units --all --plain --no-legend 'weft*'
for p in /proc/[0-9]*; do readlink $p/exe | grep weft; done
systemctl list-jobs --no-legend`

// patience is how long a command may take to end once a fault is over.
const patience = 4 * time.Minute

// A spot is a kind of effect, and the host where it comes first.
type spot struct {
	Stage string `json:"stage,omitempty"`
	Kind  string `json:"kind,omitempty"`
	Door  string `json:"door,omitempty"`
	Verb  string `json:"verb,omitempty"`
	When  string `json:"when,omitempty"`
	At    int64  `json:"at,omitempty"`
	host  string
	back  bool // it comes while S1 is taken back
}

func (s spot) String() string {
	return fmt.Sprintf("%s: %s %s, %s %s.%s", s.host, s.Stage, s.Kind, s.When, s.Door, s.Verb)
}

// chaosLab is the lab with hosts that can be hurt.
type chaosLab struct {
	found  map[string]string // of bare hosts
	litter map[string]string // of bare hosts: what looks like leftovers and is not weft's
	ssh    string
	temp   string // where weft keeps temporary files here
	home   string // where weft keeps what it takes to resume runs
}

// chaosBinary is weft with runners that can be stopped at an effect.
func chaosBinary(t testing.TB) string { return filepath.Join(root(t), "bin/chaos/weft") }

func newChaosLab(t *testing.T) *chaosLab {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a lab; -short leaves it out")
	}
	if os.Geteuid() != 0 {
		t.Skip("the lab needs root")
	}
	if _, err := os.Stat(chaosBinary(t)); err != nil {
		t.Fatalf("bin/chaos/weft is not there; `make bin/chaos/weft` makes it: %v", err)
	}
	takeTurn(t, inventory)
	t.Cleanup(func() { must(t, "lab", "down", "-i", inventory) })
	l := &chaosLab{found: map[string]string{}, litter: map[string]string{}, ssh: filepath.Join(t.TempDir(), "ssh_config"), temp: t.TempDir(), home: t.TempDir()}
	l.boot(t)
	return l
}

// boot makes the lab anew.
func (l *chaosLab) boot(t *testing.T) {
	t.Helper()
	must(t, "lab", "down", "-i", inventory)
	must(t, "lab", "up", "-i", inventory, "--disk", "2048")
	config := must(t, "lab", "ssh-config", "-i", inventory)
	if err := os.WriteFile(l.ssh, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		l.found[h] = l.state(t, h)
		l.litter[h] = on(t, h, leftovers)
	}
}

// state is what is compared with the bare host; a boot numbers the far ends of
// its links anew.
func (l *chaosLab) state(t *testing.T, host string) string {
	t.Helper()
	return farEnd.ReplaceAllString(on(t, host, bare), "$1:")
}

var farEnd = regexp.MustCompile(`(?m)^(\w+)@if\d+:$`)

// command is weft with runners that can be stopped.
func (l *chaosLab) command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, chaosBinary(t), args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "TMPDIR="+l.temp, "XDG_STATE_HOME="+l.home)
	return cmd
}

// quiet runs weft without a fault.
func (l *chaosLab) quiet(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := l.command(ctx, t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// record builds S1 and takes it back while the runners note every effect, and
// returns them all.
func (l *chaosLab) record(t *testing.T) []spot {
	t.Helper()
	var effects []spot
	for _, back := range []bool{false, true} {
		for _, h := range hosts {
			on(t, h, `mkdir -p -m 700 /run/weft && echo '[{"record":true}]' > /run/weft/chaos`)
		}
		args := []string{"apply", "-y", overlay, "-i", inventory}
		if back {
			args = append([]string{"rollback", "-y", "-i", inventory}, l.runs(t)...)
		}
		if r := l.quiet(t, args...); r.exit != 0 {
			t.Fatalf("%s: exit %d\n%s%s", strings.Join(args, " "), r.exit, r.stdout, r.stderr)
		}
		for _, h := range hosts {
			text := on(t, h, "cat /run/weft/chaos.effects; rm -f /run/weft/chaos*")
			for line := range strings.Lines(text) {
				var s spot
				if err := json.Unmarshal([]byte(line), &s); err != nil {
					t.Fatalf("%s: %q: %v", h, line, err)
				}
				s.host, s.back = h, back
				effects = append(effects, s)
			}
		}
	}
	(&walk{chaosLab: l}).bare(t)
	return effects
}

// kinds are the first effects of each kind, in the order they come. Each round
// has them on other hosts, and on as few as it can: two hosts of a play pass
// their effects in an order that nobody knows.
func kinds(effects []spot, round int) []spot {
	rank := func(s spot) int {
		return (slices.Index(hosts, s.host) - 1 - round%len(hosts) + 2*len(hosts)) % len(hosts)
	}
	first := map[spot]spot{}
	for _, e := range effects {
		kind := e
		kind.host, kind.At = "", 0
		f, ok := first[kind]
		if !ok || rank(e) < rank(f) || rank(e) == rank(f) && e.At < f.At {
			first[kind] = e
		}
	}
	all := slices.SortedFunc(maps.Values(first), func(a, b spot) int { return cmp.Compare(a.At, b.At) })
	for i := range all {
		all[i].At = 0
		all[i].When = []string{"before", "after"}[(i+round)%2] // half of them so, half so
	}
	return all
}

// runs are the runs that the hosts' journals know, the oldest first.
func (l *chaosLab) runs(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var all []string
	for _, h := range hosts {
		for _, r := range strings.Fields(on(t, h, "ls /var/lib/weft/runs 2>/dev/null || true")) {
			if !seen[r] {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	slices.Sort(all)
	return all
}

// arm makes the runner of a host stop at the first of its spots that it comes
// to, and no more at others. One that stands keeps standing.
func (l *chaosLab) arm(t *testing.T, host string, wanted []*injection) {
	t.Helper()
	spots := []spot{}
	for _, i := range wanted {
		if i.spot.host == host {
			spots = append(spots, i.spot)
		}
	}
	orders, err := json.Marshal(spots)
	if err != nil {
		t.Fatal(err)
	}
	on(t, host, fmt.Sprintf("mkdir -p -m 700 /run/weft && cd /run/weft && rm -f chaos chaos.reached chaos.go && echo '%s' > chaos.next && mv chaos.next chaos", orders))
}

// release lets a runner that still stands go on.
func (l *chaosLab) release(t *testing.T, host string) {
	t.Helper()
	on(t, host, `cd /run/weft 2>/dev/null && test -e chaos.reached || exit 0
touch chaos.go
for i in $(seq 100); do test -e chaos.go || exit 0; sleep 0.05; done`)
}

func (l *chaosLab) disarm(t *testing.T) {
	t.Helper()
	for _, h := range hosts {
		on(t, h, "rm -f /run/weft/chaos*")
	}
}

// atHome is what weft left where it was started: processes and files.
func (l *chaosLab) atHome(t *testing.T) string {
	t.Helper()
	var left []string
	processes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, p := range processes {
		if exe, err := os.Readlink(p); err == nil && exe == chaosBinary(t) {
			left = append(left, p)
		}
	}
	files, err := os.ReadDir(l.temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		left = append(left, filepath.Join(l.temp, f.Name()))
	}
	return strings.Join(left, "\n")
}

// A ride is what one command came to, and how many faults it met.
type ride struct {
	args   []string
	exit   int
	met    int
	output string
}

// run runs a command, with every fault that it comes to. Those that were met are
// taken off the list.
func (w *walk) run(t *testing.T, args []string, wanted *[]*injection) ride {
	t.Helper()
	r := ride{args: args}
	for _, h := range hosts {
		w.release(t, h)
		w.arm(t, h, *wanted)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := w.command(ctx, t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for {
		i := w.reached(t, *wanted, ended)
		if i == nil {
			break
		}
		*wanted = slices.DeleteFunc(slices.Clone(*wanted), func(o *injection) bool { return o == i })
		w.done = append(w.done, i)
		i.injected = true
		r.met++
		t.Logf("%s at %s", i.fault.name, i.spot)
		i.fault.hurt(t, victim{lab: w.chaosLab, host: i.spot.host, wanted: *wanted, controller: cmd, ended: ended})
	}
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		if len(w.done) > 0 {
			text := fmt.Sprintf("%s did not end within %s\n%s", strings.Join(args, " "), patience, out.String())
			t.Log(text)
			w.done[len(w.done)-1].fail("%s", text)
		}
	}
	r.exit, r.output = cmd.ProcessState.ExitCode(), out.String()
	return r
}

// reached waits until a runner stands at one of the spots; nil where the command
// ended before.
func (l *chaosLab) reached(t *testing.T, wanted []*injection, ended <-chan struct{}) *injection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found := make(chan *injection)
	for _, h := range hosts {
		mine := slices.DeleteFunc(slices.Clone(wanted), func(i *injection) bool { return i.spot.host != h })
		if len(mine) == 0 {
			continue
		}
		go func() {
			text, err := exec.CommandContext(ctx, "ssh", "-F", l.ssh, h, "while ! test -e /run/weft/chaos.reached; do sleep 0.05; done; cat /run/weft/chaos.reached").Output()
			if err != nil {
				return
			}
			for _, i := range mine {
				if order, _ := json.Marshal(i.spot); string(order) == strings.TrimSpace(string(text)) {
					select {
					case found <- i:
					case <-ctx.Done():
					}
				}
			}
		}()
	}
	select {
	case i := <-found:
		return i
	case <-ended:
	case <-ctx.Done():
	}
	return nil
}

// runner is the process of the runner at work on a host.
func (l *chaosLab) runner(t *testing.T, host string) int {
	t.Helper()
	var lease struct{ Pid int }
	text := on(t, host, "cat /run/weft/lease")
	if err := json.Unmarshal([]byte(text), &lease); err != nil || lease.Pid == 0 {
		t.Fatalf("%s: the lease names no process: %s: %v", host, strconv.Quote(text), err)
	}
	return lease.Pid
}
