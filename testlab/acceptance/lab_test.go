package acceptance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
)

const overlay = "playbooks/ovn-l2-overlay.hcl"

// inventory is the lab's. Another, of a lab of its own, leaves a lab that is
// up alone.
var inventory = cmp.Or(os.Getenv("WEFT_ACCEPTANCE_INVENTORY"), "inventories/lab.hcl")

// turns are what tests with labs wait for, as far as two processors carry: the usual lab is one, and its tests have one turn
// among them, as have those whose hosts are virtual machines; of the other labs two are up at a time.
var turns = struct{ usual, machines, others chan struct{} }{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 2)}

// takeTurn waits for the test's turn, and gives it back when the test has ended.
func takeTurn(t *testing.T, lab string) {
	t.Helper()
	turn := turns.others
	text, err := os.ReadFile(filepath.Join(root(t), lab))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case lab == inventory:
		turn = turns.usual
	case regexp.MustCompile(`(?m)^\s*vm \{`).Match(text):
		turn = turns.machines
	}
	turn <- struct{}{}
	t.Cleanup(func() { <-turn })
}

// root is the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// labUp boots the lab of an inventory from nothing, and takes it down at the
// end of the test.
func labUp(t *testing.T, inventory string) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a lab; -short leaves it out")
	}
	if os.Geteuid() != 0 {
		t.Skip("the lab needs root")
	}
	if _, err := os.Stat(filepath.Join(root(t), "bin/weft")); err != nil {
		t.Fatalf("bin/weft is not there; `make build` makes it: %v", err)
	}
	takeTurn(t, inventory)
	down := func() { must(t, "lab", "down", "-i", inventory) }
	down()
	t.Cleanup(down)
	must(t, "lab", "up", "-i", inventory)
}

// result is what a weft command came to.
type result struct {
	exit           int
	stdout, stderr string
}

// weft runs the binary from the repository's root, without a terminal.
func weft(t testing.TB, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := command(ctx, t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func command(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(root(t), "bin/weft"), args...)
	cmd.Dir = root(t)
	return cmd
}

// must runs weft and fails the test where it fails.
func must(t testing.TB, args ...string) string {
	t.Helper()
	r := weft(t, args...)
	if r.exit != 0 {
		t.Fatalf("weft %s: exit %d\n%s%s", strings.Join(args, " "), r.exit, r.stdout, r.stderr)
	}
	return r.stdout
}

// recap applies with -o json and returns the last line.
func apply(t testing.TB, args ...string) run.Recap {
	t.Helper()
	r := weft(t, append([]string{"apply", "-y", "-o", "json"}, args...)...)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	var recap run.Recap
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &recap); err != nil || int(recap.Exit) != r.exit {
		t.Fatalf("the last line is no recap with exit %d: %v\n%s%s", r.exit, err, r.stdout, r.stderr)
	}
	if recap.Exit != run.OK {
		t.Logf("%s\n%s", r.stdout, r.stderr)
	}
	return recap
}

// converged applies and wants it to end well.
func converged(t testing.TB, args ...string) run.Recap {
	t.Helper()
	recap := apply(t, args...)
	if recap.Exit != run.OK {
		t.Fatalf("apply %s: exit %d, %+v", strings.Join(args, " "), recap.Exit, recap.Hosts)
	}
	return recap
}

// changed is how many steps an apply changed, over all hosts.
func changed(r run.Recap) int {
	n := 0
	for _, c := range r.Hosts {
		n += c.Changed
	}
	return n
}

// changedAny is in the recap of a run that changed something.
var changedAny = regexp.MustCompile(`changed=[1-9]`)

// on runs a shell command on a host of the lab by OpenSSH: another hand.
func on(t testing.TB, host, command string) string {
	t.Helper()
	cmd := exec.Command("ssh", "-F", sshConfig(t), host, command)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s%s", host, command, err, out, errs.String())
	}
	return string(out)
}

// sshConfig is a file with the lab's ssh_config.
func sshConfig(t testing.TB) string {
	t.Helper()
	return sshConfigOf(t, inventory)
}

// sshConfigOf is sshConfig for another lab than the usual one.
func sshConfigOf(t testing.TB, inventory string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ssh_config")
	if err := os.WriteFile(path, []byte(must(t, "lab", "ssh-config", "-i", inventory)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
