package language

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestVariables(t *testing.T) {
	const play = `
variable "name"  { type = string }
variable "count" {
  type    = number
  default = 1
}
variable "list" { default = ["a"] }
variable "object" {
  type    = object({ a = string, b = optional(number, 7) })
  default = { a = "x" }
}
locals {
  twice = "${local.once}-${local.once}"
  once  = "${var.name}${var.count}"
  all   = [for h in role.compute : h.name]
}
play "p" {
  hosts = "a"
  step "file" "f" { content = "${local.twice} ${join("+", var.list)} ${var.object.a}${var.object.b} ${join("+", local.all)}" }
}`
	files := map[string]string{"play.hcl": play, "inv.hcl": two, "vars.hcl": "count = 3\nlist = [\"p\", \"q\"]\n"}
	environment := func(name string) (string, bool) {
		v, ok := map[string]string{"WEFT_VAR_name": "env", "WEFT_VAR_count": "2"}[name]
		return v, ok
	}
	tests := []struct {
		name string
		in   Inputs
		want string
	}{
		{"asked", Inputs{Ask: func(name string, hidden bool) (string, error) { return "asked-" + name, nil }}, "asked-name1-asked-name1 a x7 a+b"},
		{"environment", Inputs{Environment: environment}, "env2-env2 a x7 a+b"},
		{"files over environment", Inputs{Environment: environment, Files: []string{"vars.hcl"}}, "env3-env3 p+q x7 a+b"},
		{"flags over files", Inputs{Files: []string{"vars.hcl"}, Flags: []string{"name=f=1", "count=4", `list=["z"]`, `object={a="o",b=1}`}}, "f=14-f=14 z o1 a+b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := load(t, files, tt.in)
			units, _ := p.Units(p.Plays[0], "a", Known{})
			if got := string(units[0].Spec); !strings.Contains(got, `"`+tt.want+`"`) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	wrong := []struct {
		in   Inputs
		want string
	}{
		{Inputs{Flags: []string{"name=x", "cuont=1"}}, `there is no variable "cuont"`},
		{Inputs{Flags: []string{"name=x", "count=many"}}, `the value of variable "count" from the command line does not fit its type`},
		{Inputs{Flags: []string{"name=x", "list=[1"}}, `the value of variable "list" from the command line cannot be read`},
		{Inputs{Flags: []string{"name=x", "count"}}, `a variable is given as NAME=VALUE, not as "count"`},
		{Inputs{Flags: []string{"name=x"}, Files: []string{"none.hcl"}}, `cannot read the file of variables: open none.hcl: no such file or directory`},
		{Inputs{Ask: func(string, bool) (string, error) { return "", errors.New("no terminal") }}, `variable "name" has no value`},
	}
	for _, tt := range wrong {
		_, ds := tryLoad(files, tt.in)
		if len(ds) != 1 || ds[0].Summary != tt.want {
			t.Errorf("want %s, got\n%s", tt.want, plainText(ds))
		}
	}
}

const canary = "canary-7f3a"

// TestSecrets lets a sensitive value take every way through the language, and
// looks for it where it must not be.
func TestSecrets(t *testing.T) {
	files := inPlay(`
		step "ovs_port" "p" {
			bridge  = "b"
			mac     = var.token
			options = { open = "x", shut = "pre-${var.token}", both = host.name == "b" ? var.token : "y" }
		}
		step "file" "f" {
			content = templatefile("t.tmpl", { secret = var.token })
			options = { json = jsonencode({ a = var.token }), up = upper(var.token) }
			lines   = [{ match = "m", text = var.token }]
		}
		step "file" "g" { options = var.many }
		step "ovn_chassis" "c" {
			remote   = [for r in ["a"] : "${r}-${var.token}"]
			encap_ip = "1"
			password = "written out"
		}`)
	files["t.tmpl"] = "secret=${secret}"
	files["play.hcl"] = `
variable "token" { sensitive = true }
variable "many" {
  type      = map(string)
  sensitive = true
  default   = { k = "also-` + canary + `" }
}
` + files["play.hcl"]
	p, ds := tryLoad(files, Inputs{Flags: []string{"token=" + canary}})
	units, more := p.Units(p.Plays[0], "a", Known{})
	// The port's own validation has something to say of its MAC.
	if all := Join(ds, more); len(all) != 1 || all[0].Summary != "mac is not valid (its value is sensitive and not shown)" {
		t.Errorf("got %s", plainText(all))
	}
	b, err := json.Marshal(ds)
	if err != nil || strings.Contains(string(b)+plainText(ds), canary) {
		t.Errorf("a secret is in the diagnostics (%v):\n%s", err, b)
	}
	got := map[string][]string{}
	for _, u := range units {
		got[u.Address] = u.Secret
	}
	want := map[string][]string{
		"file.f":        {"content", "lines", "options.json", "options.up"},
		"file.g":        {"options"},
		"ovn_chassis.c": {"remote", "password"},
	}
	for address, paths := range want {
		if !slices.Equal(got[address], paths) {
			t.Errorf("%s: secret %v, want %v", address, got[address], paths)
		}
	}
	if !slices.Contains(p.Secrets, canary) || !slices.Contains(p.Secrets, "also-"+canary) {
		t.Errorf("secrets are %v", p.Secrets)
	}
}

// TestSecretsInMistakes breaks a sensitive value in many ways.
func TestSecretsInMistakes(t *testing.T) {
	for _, expr := range []string{
		"cidrhost(var.token, 1)", "jsondecode(var.token)", "tonumber(var.token)", "regex(\"x\", var.token)",
		"{ a = 1 }[var.token]", "base64decode(var.token)", "var.token + 1", "[for x in [var.token] : tonumber(x)][0]",
		"templatefile(var.token, {})", "file(var.token)", "local.pair.nothing", "format(\"%d\", var.token)",
		"templatefile(\"t.tmpl\", { n = var.token })", "element([], length(var.token) + 99)", "hosts[var.token].name",
		"local.list[var.token]", "lookup({}, var.token)", "var.token ? 1 : 2", "parseint(var.token, 10)",
	} {
		files := inPlay(`step "file" "f" { content = ` + expr + " }")
		files["play.hcl"] = "variable \"token\" {\n  sensitive = true\n}\nlocals {\n  pair = { a = var.token }\n  list = [1, 2]\n}\n" + files["play.hcl"]
		files["t.tmpl"] = "${n + 1}"
		_, ds := tryLoad(files, Inputs{Flags: []string{"token=" + canary}})
		if !ds.Failed() {
			t.Errorf("%s is no mistake", expr)
		}
		// Not by the last resort: without the scrubbing too.
		c, _ := Load(testKinds(), Sources{Playbook: "play.hcl", Inventories: []string{"inv.hcl"}, Read: fileTree(files)})
		p, _ := c.Bind(Inputs{Flags: []string{"token=" + canary}})
		p.Secrets = nil
		if text := plainText(p.Validate()); strings.Contains(text, canary) {
			t.Errorf("%s shows the secret:\n%s", expr, text)
		}
	}
}

func TestSensitiveForEach(t *testing.T) {
	files := inPlay("step \"package\" \"p\" {\n for_each = [var.token]\n name = each.key\n}")
	files["play.hcl"] = "variable \"token\" {\n  sensitive = true\n  default = \"" + canary + "\"\n}\n" + files["play.hcl"]
	_, ds := tryLoad(files, Inputs{})
	if len(ds) != 1 || ds[0].Summary != "for_each cannot be sensitive" {
		t.Error(plainText(ds))
	}
}

// TestSensitiveNull wants a null that is sensitive to be unmanaged, not absent:
// both are nulls with a mark.
func TestSensitiveNull(t *testing.T) {
	files := inPlay("step \"ovs_port\" \"p\" {\n bridge = \"b\"\n tag = var.tag\n}")
	files["play.hcl"] = "variable \"tag\" {\n  sensitive = true\n  type = number\n  default = null\n}\n" + files["play.hcl"]
	p := load(t, files, Inputs{})
	units, _ := p.Units(p.Plays[0], "a", Known{})
	if got := string(units[0].Spec); got != `{"name":"p","bridge":"b"}` {
		t.Errorf("got %s", got)
	}
}
