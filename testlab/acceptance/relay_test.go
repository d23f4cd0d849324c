package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/engine/control/run"
)

// copying brings a file from one host to two.
const copying = `
variable "sum" {}

play "copy" {
  hosts      = role.hypervisor
  on_failure = "stop"
  step "file_copy" "/opt/built.tar" {
    host   = "builder"
    source = "/srv/built.tar"
    sha256 = var.sum
    owner  = "root"
    group  = "root"
    mode   = "0640"
  }
}
`

// TestFileFromHostToHost brings 60 MB from one host to two others at once. The cable
// of one is pulled in the middle, and the run is resumed.
func TestFileFromHostToHost(t *testing.T) {
	t.Parallel()
	const lab, megabytes = "testlab/acceptance/testdata/relay.hcl", 60
	labUp(t, lab)
	builder, one, two := labHost{t, lab, "builder"}, labHost{t, lab, "one"}, labHost{t, lab, "two"}
	sum := strings.Fields(builder.sees(fmt.Sprintf("head -c %d /dev/urandom > /srv/built.tar; sha256sum /srv/built.tar", megabytes<<20)))[0]
	const state = "cd /opt && stat -c '%n %s %U %G %a' * .[!.]* 2>/dev/null; sha256sum * 2>/dev/null; ls /var/lib/weft/kept 2>/dev/null; true"
	one.sees("head -c 20000000 /dev/urandom > /opt/built.tar; chown daemon:adm /opt/built.tar; chmod 4755 /opt/built.tar")
	foundOne, foundTwo := one.sees(state), two.sees(state)
	playbook := filepath.Join(t.TempDir(), "copy.hcl")
	if err := os.WriteFile(playbook, []byte(copying), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{playbook, "-i", lab, "--var", "sum=" + sum}

	// The runner stands still where it has begun to write, until the cable is out.
	two.sees(`cat > /root/halt <<'EOF'
until [ -e /opt/.weft-built.tar ]; do :; done
runner=$(pgrep -f 'weft-runner serve' | tail -n 1)
kill -STOP $runner && touch /run/halted && sleep 5 && kill -CONT $runner
EOF
setsid sh /root/halt > /dev/null 2>&1 < /dev/null &`)
	saved := filepath.Join(t.TempDir(), "plan")
	if out := must(t, append([]string{"plan", "--out", saved}, args...)...); !strings.Contains(out, "builder:/srv/built.tar -> /opt/built.tar") {
		t.Errorf("the plan does not say what comes from where:\n%s", out)
	}
	cmd := begin(t, "apply", "-y", saved)
	two.sees("for i in $(seq 300); do test -e /run/halted && exit 0; sleep 0.1; done; exit 1")
	must(t, "lab", "cut", "-i", lab, "two")
	_ = cmd.Wait()
	said := cmd.Stdout.(*bytes.Buffer).String()
	id := runID.FindString(said)
	if exit := cmd.ProcessState.ExitCode(); exit != int(run.NoContact) || id == "" {
		t.Fatalf("exit %d\n%s", exit, said)
	}
	must(t, "lab", "mend", "-i", lab, "two")
	if left := two.sees(state); left != foundTwo {
		t.Errorf("on the host that was cut off is left:\n%s", left)
	}

	if r := weft(t, "resume", id, "-y"); r.exit != 0 {
		t.Fatalf("resume: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
	}
	for _, h := range []labHost{one, two} {
		if got := h.sees(state); !strings.Contains(got, fmt.Sprintf("built.tar %d root root 640", megabytes<<20)) || !strings.Contains(got, sum) || strings.Contains(got, ".weft") {
			t.Errorf("%s has\n%s", h.host, got)
		}
	}
	if r := converged(t, args...); changed(r) != 0 {
		t.Errorf("a second apply changes %d", changed(r))
	}

	must(t, "rollback", "-y", "-i", lab, id)
	for h, found := range map[labHost]string{one: foundOne, two: foundTwo} {
		if got := h.sees(state); got != found {
			t.Errorf("%s is not as it was found:\n%s\nbut\n%s", h.host, found, got)
		}
	}

	t.Run("the host that has it is cut off, and comes back", func(t *testing.T) {
		began := time.Now()
		builder.sees(`cat > /root/cut <<'EOF'
until [ $(pgrep -fc 'weft-runner serve') -ge 2 ]; do :; done
pkill -o -f 'weft-runner serve'
EOF
setsid sh /root/cut > /dev/null 2>&1 < /dev/null &`)
		if r := converged(t, append(args, "-l", "two")...); changed(r) != 1 {
			t.Errorf("%+v", r)
		}
		t.Logf("%d MB to one host in %s, with a runner killed on the way", megabytes, time.Since(began))
	})
}
