package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// labHost is a host of a lab, or a virtual machine, as somebody sees it who works with
// weft and with a shell.
type labHost struct {
	t         *testing.T
	inventory string
	host      string
}

// sees runs a shell command there, by another hand than weft.
func (h labHost) sees(command string) string {
	h.t.Helper()
	return must(h.t, "lab", "ssh", "-i", h.inventory, h.host, "--", command)
}

func (h labHost) apply(playbook string, exit int, args ...string) string {
	h.t.Helper()
	r := weft(h.t, append([]string{"apply", "-y", playbook, "-i", h.inventory, "-l", h.host}, args...)...)
	if r.exit != exit {
		h.t.Fatalf("apply %s: exit %d, want %d\n%s%s", playbook, r.exit, exit, r.stdout, r.stderr)
	}
	return r.stdout
}

// reboot boots the machine, by another hand than weft.
func (h labHost) reboot() {
	h.t.Helper()
	must(h.t, "lab", "reboot", "-i", h.inventory, h.host)
}

// play writes a playbook with one play of these steps, which is for this machine
// alone.
func (h labHost) play(steps string) string {
	h.t.Helper()
	playbook := filepath.Join(h.t.TempDir(), "play.hcl")
	text := "play \"p\" {\n  hosts = role.hypervisor\n" + steps + "\n}\n"
	if err := os.WriteFile(playbook, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return playbook
}

// rollback takes back all that stands.
func (h labHost) rollback() {
	h.t.Helper()
	var ids []string
	for line := range strings.Lines(must(h.t, "runs", "-i", h.inventory, "-l", h.host)) {
		if id := runID.FindString(line); id != "" && strings.Contains(line, "  done  ") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		h.t.Fatal("the host knows of no run")
	}
	must(h.t, append([]string{"rollback", "-y", "-i", h.inventory, "-l", h.host}, ids...)...)
}

// killedWhileAway applies until the machine is away, kills weft, and returns the
// run's name.
func (h labHost) killedWhileAway() string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := command(ctx, h.t, "apply", "-y", "-o", "json", hypervisor, "-i", h.inventory, "-l", h.host)
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	var said bytes.Buffer
	buffer := make([]byte, 4096)
	for !bytes.Contains(said.Bytes(), []byte(`"rebooting"`)) {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if err != nil {
			h.t.Fatalf("it ended before the machine was away: %v\n%s", err, said.String())
		}
	}
	// Only a machine that is on its way cannot have been kept.
	for boot := h.bootID(); boot != "" && ctx.Err() == nil; boot = h.bootID() {
		continue
	}
	if err := cmd.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	_ = cmd.Wait()
	id := runID.FindString(said.String())
	if id == "" {
		h.t.Fatal(fmt.Errorf("no run is named in %s", said.String()))
	}
	return id
}

// bootID is that of the machine now; empty where it does not answer.
func (h labHost) bootID() string {
	h.t.Helper()
	r := weft(h.t, "lab", "ssh", "-i", h.inventory, h.host, "--", "timeout 5 cat /proc/sys/kernel/random/boot_id")
	if r.exit != 0 {
		return ""
	}
	return strings.TrimSpace(r.stdout)
}
