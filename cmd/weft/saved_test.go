package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"weft/engine/control/run"
	"weft/engine/language"
)

const savedPlaybook = `
variable "region" { type = string }
variable "zone" { type = string }
variable "site" { type = string }
variable "token" {
  type      = string
  sensitive = true
}
variable "key" {
  type      = string
  sensitive = true
}
variable "password" {
  type      = string
  sensitive = true
}
variable "phrase" {
  type      = string
  sensitive = true
}
variable "sealed" { type = string }
variable "note" { type = string }
play "p" {
  hosts = ["a"]
  step "file" "/etc/app" { content = "${var.region} ${var.zone} ${var.site} ${var.token} ${var.key} ${var.password} ${var.phrase} ${var.sealed} ${var.note}" }
}
`

// at is a command's streams without a terminal.
func at(environment map[string]string) (streams, *bytes.Buffer) {
	var errs bytes.Buffer
	return streams{in: strings.NewReader(""), out: &errs, err: &errs, environment: func(name string) (string, bool) {
		v, ok := environment[name]
		return v, ok
	}}, &errs
}

// A saved plan holds every variable that is not sensitive, from wherever it
// came, and no other.
func TestSavedPlanHoldsNoSecret(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	playbook, values := in("play.hcl"), in("values")
	key, encrypted, err := encryptedFile("sealed = \"hush-sealed\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		playbook: savedPlaybook, values: "zone = \"zone-1\"\nkey = \"hush-file\"\n", in("values.age"): encrypted,
		in("identity"): key, in("phrase"): "hush-phrase\n", in("note"): "note-1\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, errs := at(map[string]string{"WEFT_VAR_region": "region-1", "WEFT_VAR_token": "hush-environment"})
	f := &flags{
		inventories: []string{"a,"}, varFiles: []string{values, in("values.age")}, identities: []string{in("identity")},
		vars: []string{"password=hush-flag", "phrase=@" + in("phrase"), "note=@" + in("note")},
	}
	first := s.inputs(context.Background())
	first.ask = func(name string, _ bool) (string, error) { return "@" + name, nil }
	files := newRecorder(first)
	p, err := load(context.Background(), s, f, playbook, files.inputs())
	if err != nil {
		t.Fatal(err, errs)
	}
	reviewed := content(t, p)
	saved := &run.Saved{Build: build(), Playbook: playbook, Inventories: f.inventories, VarFiles: f.varFiles}
	saved.Files, saved.Vars, saved.Environment = files.secretless(p, f.vars, f.varFiles)
	for path, b := range saved.Files {
		if bytes.Contains(b, []byte("hush")) {
			t.Errorf("%s holds a secret: %s", path, b)
		}
	}
	if err := saved.Save(nil, 0); err != nil {
		t.Fatal(err)
	}
	if b := saved.Encode(); bytes.Contains(b, []byte("hush")) {
		t.Errorf("the plan holds a secret: %s", b)
	}

	// Applied where nothing of that is set, it asks for the secrets alone, and
	// only for those of which it does not know where they stand.
	var asked []string
	s, errs = at(nil)
	now := s.inputs(context.Background())
	now.ask = func(name string, sensitive bool) (string, error) {
		if !sensitive {
			t.Errorf("asked for %s", name)
		}
		asked = append(asked, name)
		return "hush", nil
	}
	if err := os.Remove(in("note")); err != nil {
		t.Fatal(err)
	}
	again := flags{identities: f.identities}
	again.fromPlan(saved)
	p, err = load(context.Background(), s, &again, saved.Playbook, replay(saved, now))
	if err != nil {
		t.Fatal(err, errs)
	}
	if got, want := content(t, p), "region-1 zone-1 @site hush hush hush hush-phrase hush-sealed note-1"; got != want {
		t.Errorf("applied is %s, reviewed was %s", got, reviewed)
	}
	if got := strings.Join(asked, " "); got != "token key password" {
		t.Errorf("asked for %s", got)
	}
}

// content is that of the only file in a program.
func content(t *testing.T, p *language.Program) string {
	t.Helper()
	units, ds := p.Units(p.Plays[0], "a", language.Known{})
	var spec struct{ Content string }
	if ds.Failed() || len(units) != 1 || json.Unmarshal(units[0].Spec, &spec) != nil {
		t.Fatalf("units are %v, %v", units, ds)
	}
	return spec.Content
}

// encryptedFile encrypts a text for a new identity.
func encryptedFile(text string) (identity, encrypted string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, key.Recipient())
	if err != nil {
		return "", "", err
	}
	_, err = io.WriteString(w, text)
	err = errors.Join(err, w.Close())
	return key.String() + "\n", out.String(), err
}

func TestFlagsThatASavedPlanHolds(t *testing.T) {
	dir := t.TempDir()
	playbook := filepath.Join(dir, "play.hcl")
	plan := filepath.Join(dir, "lab.plan")
	saved := &run.Saved{Build: build(), Playbook: playbook, Inventories: []string{"a,"}, Files: map[string][]byte{playbook: []byte(`
variable "region" { default = "eu" }
variable "token" {
  default   = ""
  sensitive = true
}
play "p" {
  hosts = ["a"]
  step "file" "/etc/app" { content = var.token }
}
`)}}
	if err := saved.Save(nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plan, saved.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-i", "b,"}, "--inventory is in the saved plan"},
		{[]string{"-l", "a"}, "--limit is in the saved plan"},
		{[]string{"-t", "x"}, "--tags is in the saved plan"},
		{[]string{"--skip-tags", "x"}, "--skip-tags is in the saved plan"},
		{[]string{"--var-file", "x"}, "--var-file is in the saved plan"},
		{[]string{"-e", "region=us"}, `variable "region" is in the saved plan`},
	} {
		var out, errs bytes.Buffer
		code := weft(append([]string{"apply", plan}, c.args...), strings.NewReader(""), &out, &errs, os.LookupEnv)
		if code != run.Usage || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v: exit %d, %s", c.args, code, errs.String())
		}
	}
}

// A question ends when the operator has had enough.
func TestQuestionEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, _ := at(nil)
	in, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer writer.Close()
	s.in = in
	cancel()
	if _, err := s.line(ctx); err == nil {
		t.Error("an answer was heard")
	}
	if _, err := writer.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	s.in = strings.NewReader("")
	if answer, err := s.line(context.Background()); answer != "" || err != nil {
		t.Errorf("the end of the input is %q, %v", answer, err)
	}
}
