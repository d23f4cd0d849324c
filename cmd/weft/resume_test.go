package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"weft/engine/control/run"
	"weft/engine/wire"
)

const keptPlaybook = `
variable "region" { type = string }
variable "zone" { type = string }
variable "token" {
  type      = string
  sensitive = true
}
variable "key" {
  type      = string
  sensitive = true
}
play "p" {
  hosts = ["a"]
  step "file" "/etc/app" { content = "${var.region} ${var.zone} ${var.token} ${var.key}" }
}
`

// changing is a command with the flags of one that changes hosts.
func changing(t *testing.T, f *flags, args ...string) *cobra.Command {
	t.Helper()
	cmd := &cobra.Command{}
	f.source(cmd.Flags())
	f.connection(cmd.Flags())
	f.change(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A run is kept without its secrets, and goes on as it was begun.
func TestRunIsKeptAndFound(t *testing.T) {
	dir := t.TempDir()
	playbook := filepath.Join(dir, "play.hcl")
	if err := os.WriteFile(playbook, []byte(keptPlaybook), 0o600); err != nil {
		t.Fatal(err)
	}
	s, errs := at(map[string]string{"XDG_STATE_HOME": dir, "WEFT_VAR_zone": "zone-1", "WEFT_VAR_key": "hush-environment"})
	var f flags
	cmd := changing(t, &f, "-i", "a,", "-e", "region=region-1", "-e", "token=hush-flag",
		"-u", "admin", "--private-key", "id", "--private-key", "~/.ssh/other", "--no-rollback", "--guard-time", "5m", "-y")
	files := newRecorder(s.inputs(context.Background()))
	p, err := load(context.Background(), s, &f, playbook, files.inputs())
	if err != nil {
		t.Fatal(err, errs)
	}
	k := newKeeper(s, &f, cmd.Flags(), "r1", p, files)
	k.begin()
	b, err := os.ReadFile(filepath.Join(dir, "weft", "runs", "r1.json"))
	if err != nil || bytes.Contains(b, []byte("hush")) {
		t.Fatalf("kept: %s, %v", b, err)
	}

	old, err := resumable(s, nil)
	if err != nil || old.ID != "r1" {
		t.Fatalf("found %+v, %v", old, err)
	}
	var again flags
	resumed := changing(t, &again, "--guard-time", "7m")
	if err := restore(resumed.Flags(), old.Flags); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("id")
	if err != nil {
		t.Fatal(err)
	}
	if again.user != "admin" || !again.noRollback || again.yes || again.guardTime.Minutes() != 7 || !slices.Equal(again.privateKeys, []string{here, "~/.ssh/other"}) {
		t.Errorf("restored: %+v", again)
	}
	again.fromPlan(&old.Sources)
	now, _ := at(nil)
	var asked []string
	in := now.inputs(context.Background())
	in.ask = func(name string, _ bool) (string, error) {
		asked = append(asked, name)
		return "hush", nil
	}
	if err := os.Remove(playbook); err != nil { // it is kept
		t.Fatal(err)
	}
	if _, err := load(context.Background(), now, &again, old.Sources.Playbook, replay(&old.Sources, in)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, " "); got != "token key" {
		t.Errorf("asked for %s", got)
	}

	k.part = true
	k.end(run.OK) // of some of its hosts
	if _, err := resumable(s, nil); err != nil {
		t.Errorf("a part is taken for the whole: %v", err)
	}
	k.part = false
	k.end(run.OK)
	if _, err := resumable(s, nil); err == nil {
		t.Error("a finished run is the newest unfinished one")
	}
	if old, err := resumable(s, []string{"r1"}); err != nil || !old.Finished() {
		t.Errorf("by its name it is found: %v", err)
	}
	if errs.Len() > 0 {
		t.Errorf("said: %s", errs)
	}
}

// What cannot be kept is said, and no reason to stop.
func TestRunThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, errs := at(map[string]string{"XDG_STATE_HOME": file})
	k := &keeper{s: s}
	k.run.ID = "r1"
	k.begin()
	if !strings.Contains(errs.String(), "warning: `weft resume r1` will not know this run: keep the run: mkdir ") {
		t.Errorf("said: %s", errs)
	}
}

// What is said at the end of a run that was cut can be done.
func TestWayBackIsOfWhatWasChanged(t *testing.T) {
	s, _ := at(nil)
	f := &flags{inventories: []string{"lab.hcl"}}
	p, err := load(context.Background(), s, &flags{inventories: []string{"a,"}}, "", s.inputs(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	f.forks = 1
	r, err := newRun(s, f, p, wire.Change, nil, "weft apply")
	if err != nil {
		t.Fatal(err)
	}
	k := &task{run: r}
	if got := k.wayBack(run.Recap{Hosts: map[string]run.Count{"a": {OK: 1}}}); got != "; nothing was changed" {
		t.Errorf("of nothing: %q", got)
	}
	want := ", `weft rollback " + r.ID() + " -i lab.hcl` takes it back"
	if got := k.wayBack(run.Recap{Hosts: map[string]run.Count{"a": {OK: 1}, "b": {Changed: 1}}}); got != want {
		t.Errorf("of a change: %q, want %q", got, want)
	}
}
