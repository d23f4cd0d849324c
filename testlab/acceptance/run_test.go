package acceptance

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
)

// slow is a playbook whose second step takes a while and can be seen at work.
const slow = `
play "slow" {
  hosts = role.compute
  step "file" "/etc/slow-began" { content = "yes\n" }
  step "command" "wait" {
    argv  = ["/bin/sh", "-c", "touch /run/slow-at-work; sleep 4; touch /etc/slow-done"]
    check = ["/usr/bin/test", "-e", "/etc/slow-done"]
    undo  = ["/bin/rm", "-f", "/etc/slow-done"]
  }
  step "file" "/etc/slow-ended" { content = "yes\n" }
}
`

// TestRuns is what happens between runs: two at once, one that is
// interrupted, hosts that are not there, users who are not root.
func TestRuns(t *testing.T) {
	t.Parallel()
	labUp(t, inventory)
	playbook := filepath.Join(t.TempDir(), "slow.hcl")
	if err := os.WriteFile(playbook, []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	clean := func() {
		on(t, "ubuntu2", "rm -f /etc/slow-* /run/slow-*")
		on(t, "ubuntu3", "rm -f /etc/slow-* /run/slow-*")
	}

	t.Run("two applies at once", func(t *testing.T) {
		first := begin(t, "apply", "-y", playbook, "-i", inventory)
		atWork(t, "ubuntu2")
		second := weft(t, "apply", "-y", playbook, "-i", inventory)
		if second.exit != int(run.Locked) || !strings.Contains(second.stdout, "weft apply "+playbook) {
			t.Errorf("the second: exit %d\n%s", second.exit, second.stdout)
		}
		third := weft(t, "apply", "-y", playbook, "-i", inventory, "--lock-timeout", "60s")
		if third.exit != 0 || !strings.Contains(third.stdout, "waiting") || changedAny.MatchString(third.stdout) {
			t.Errorf("the one that waits: exit %d\n%s", third.exit, third.stdout)
		}
		if err := first.Wait(); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	clean()

	t.Run("interrupt", func(t *testing.T) {
		cmd := begin(t, "apply", "-y", playbook, "-i", inventory)
		atWork(t, "ubuntu2")
		atWork(t, "ubuntu3")
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != int(run.Interrupted) {
			t.Errorf("exit %d: %v\n%s", cmd.ProcessState.ExitCode(), err, cmd.Stdout)
		}
		// The effect in flight ended, nothing after it began, nothing was undone.
		for _, h := range hosts[1:] {
			if got := strings.Fields(on(t, h, "ls -d /etc/slow-*")); len(got) != 2 {
				t.Errorf("%s has %v", h, got)
			}
		}
		if n := changed(converged(t, playbook, "-i", inventory)); n == 0 {
			t.Error("nothing was left to do after an interrupt")
		}
	})
	clean()

	t.Run("users who are not root", func(t *testing.T) {
		on(t, "ubuntu1", "rm -rf /var/lib/weft")
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("weft\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			args []string
			exit run.Exit
			says string
		}{
			{"sudo without a password", []string{"-u", "deploy"}, run.OK, "root"},
			{"sudo with a password", []string{"-u", "operator", "--become-password-file", password}, run.OK, "root"},
			{"no password given", []string{"-u", "operator"}, run.NoContact, "-K"},
			{"nobody's login", []string{"-u", "nobody"}, run.NoContact, "nobody"},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := weft(t, append([]string{"exec", "-i", inventory, "-l", "ubuntu1"}, append(c.args, "--", "id", "-un")...)...)
				if r.exit != int(c.exit) || !strings.Contains(r.stdout+r.stderr, c.says) {
					t.Errorf("exit %d, want %d and %q\n%s%s", r.exit, c.exit, c.says, r.stdout, r.stderr)
				}
			})
		}
	})

	t.Run("Ansible reaches the lab too", func(t *testing.T) {
		cmd := exec.Command("ansible", "-i", "ubuntu1,", "all", "-m", "raw", "-a", "id -un")
		cmd.Env = append(os.Environ(), "ANSIBLE_SSH_ARGS=-F "+sshConfig(t))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "root") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// begin starts weft and leaves it running.
func begin(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := command(ctx, t, args...)
	cmd.Stdout = new(bytes.Buffer)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// atWork waits until the slow step is at work on a host.
func atWork(t *testing.T, host string) {
	t.Helper()
	on(t, host, "for i in $(seq 300); do test -e /run/slow-at-work && exit 0; sleep 0.1; done; exit 1")
}
