package acceptance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weft/engine/control/run"
)

// TestNoChaos shows that the runners that operators push have nothing in them
// of what stops a runner for a test.
func TestNoChaos(t *testing.T) {
	runners, err := filepath.Glob(filepath.Join(root(t), "bin", "weft-runner-*"))
	if err != nil || len(runners) == 0 {
		t.Skipf("no runners in bin; `make build` makes them: %v", err)
	}
	marks := []string{"chaos.reached", "chaos.effects"}
	for _, mark := range marks {
		for _, r := range runners {
			if has(t, r, mark) {
				t.Errorf("%s has %q", r, mark)
			}
		}
		if stopped := filepath.Join(root(t), "bin/chaos/weft-runner"); exists(stopped) && !has(t, stopped, mark) {
			t.Errorf("%s has no %q: that is not what to look for any more", stopped, mark)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func has(t *testing.T, path, text string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}

// TestReinstalled is a host that somebody installed anew: its key is another,
// nothing is sent to it, and the operator is told both keys and what to do.
func TestReinstalled(t *testing.T) {
	t.Parallel()
	labUp(t, inventory)
	before := fingerprint(t, "ubuntu3")
	must(t, "lab", "reinstall", "-i", inventory, "ubuntu3")
	r := weft(t, "exec", "-i", inventory, "-l", "ubuntu3", "--", "touch", "/root/touched")
	if r.exit != int(run.NoContact) {
		t.Errorf("exit %d, want %d", r.exit, run.NoContact)
	}
	must(t, "lab", "up", "-i", inventory) // which knows the new key
	for _, want := range []string{before, fingerprint(t, "ubuntu3"), "ssh-keygen -R"} {
		if !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("the operator is not told %q:\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if got := on(t, "ubuntu3", "ls /root"); got != "" {
		t.Errorf("something was done on a host with another key: %s", got)
	}
	// The command that was named makes ssh ask for the new key as for any other.
	if command := regexp.MustCompile(`ssh-keygen -R .*`).FindString(r.stdout + r.stderr); command != "" {
		known := regexp.MustCompile(`-f '?([^' ]+)`).FindStringSubmatch(command)
		if known == nil {
			t.Fatalf("%s names no file", command)
		}
		if out, err := exec.Command("sh", "-c", strings.TrimRight(command, ".)")).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
		if text, err := os.ReadFile(known[1]); err != nil || strings.Contains(string(text), "ubuntu3") {
			t.Errorf("%s still has ubuntu3: %v\n%s", known[1], err, text)
		}
	}
}

// fingerprint is that of the key which the lab has in its known_hosts for a host.
func fingerprint(t *testing.T, host string) string {
	t.Helper()
	config, err := os.ReadFile(sshConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`UserKnownHostsFile (\S+)`).FindSubmatch(config)
	if file == nil {
		t.Fatalf("no known_hosts in\n%s", config)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-F", host, "-f", string(file[1])).Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`SHA256:\S+`).Find(out)
	if found == nil {
		t.Fatalf("no fingerprint of %s in %s", host, out)
	}
	return string(found)
}
