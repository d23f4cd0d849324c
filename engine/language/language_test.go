package language

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"weft/engine/step"
)

// fileTree is a Sources.Read that knows these files alone.
func fileTree(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("no such file or directory")}
	}
}

// load makes a program of a playbook and an inventory, or fails the test.
func load(t *testing.T, files map[string]string, in Inputs) *Program {
	t.Helper()
	p, ds := tryLoad(files, in)
	if ds.Failed() {
		t.Fatalf("mistakes where there should be none:\n%s", plainText(ds))
	}
	return p
}

// tryLoad goes through all calls, as a command does.
func tryLoad(files map[string]string, in Inputs) (*Program, Diagnostics) {
	src := Sources{Read: fileTree(files)}
	if _, ok := files["play.hcl"]; ok {
		src.Playbook = "play.hcl"
	}
	if _, ok := files["inv.hcl"]; ok {
		src.Inventories = []string{"inv.hcl"}
	}
	if in.Environment == nil {
		in.Environment = func(string) (string, bool) { return "", false }
	}
	c, ds := Load(testKinds(), src)
	p, more := c.Bind(in)
	return p, Join(ds, more, p.Validate())
}

func plainText(ds Diagnostics) string {
	var b strings.Builder
	if err := ds.WriteText(&b, Style{}); err != nil {
		panic(err)
	}
	return b.String()
}

// spell writes units as lines: the address, the spec, and what else there is.
func spell(units []step.Unit) string {
	var b strings.Builder
	for _, u := range units {
		b.WriteString(u.Address + " " + string(u.Spec))
		for _, extra := range []struct {
			word string
			list []string
		}{{"unknown", u.Unknown}, {"secret", u.Secret}, {"triggers", u.Triggers}, {"after", u.AfterNeeds}} {
			if len(extra.list) > 0 {
				b.WriteString(" " + extra.word + "=" + strings.Join(extra.list, ","))
			}
		}
		if u.Guard != 0 {
			b.WriteString(" guard=" + u.Guard.String())
		}
		if u.Limit != 0 {
			b.WriteString(" limit=" + u.Limit.String())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func trimLines(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// two is an inventory of two hosts.
const two = `
site = "lab"
host "a" {
  address = "192.0.2.1"
  roles   = ["central", "compute"]
  vars    = { ip = "10.0.0.1", n = 1, tags = ["x", "y"] }
}
host "b" {
  roles = ["compute"]
  vars  = { ip = "10.0.0.2", n = 2, tags = [] }
}
`

// inPlay wraps steps into a play on all hosts of two.
func inPlay(steps string) map[string]string {
	return map[string]string{"inv.hcl": two, "play.hcl": "play \"p\" {\n  hosts = \"all\"\n" + steps + "\n}\n"}
}

func TestUnits(t *testing.T) {
	tests := []struct {
		name  string
		steps string
		want  string // on host a
	}{
		{"label and default", `step "service" "sshd" {}`, `service.sshd {"name":"sshd","timeout":"10s"}`},
		{"label given", `step "service" "sshd" { name = "ssh" }`, `service.sshd {"name":"ssh","timeout":"10s"}`},
		{
			"absent is null, null is unmanaged",
			`step "ovs_port" "p" {
				bridge  = "br"
				tag     = absent
				trunks  = null
				options = { peer = absent, key = null, other = "x" }
			}`,
			`ovs_port.p {"name":"p","bridge":"br","tag":null,"options":{"peer":null,"other":"x"}}`,
		},
		{
			"absent in conditionals",
			`step "ovs_port" "p" {
				bridge  = "br"
				tag     = host.name == "a" ? absent : 5
				options = { a = host.name == "a" ? absent : "v", b = host.name == "b" ? absent : "v", c = host.name == "a" ? null : absent }
			}
			step "ovs_port" "q" {
				bridge = "br"
				tag    = host.name == "b" ? absent : 5
			}`,
			`ovs_port.p {"name":"p","bridge":"br","tag":null,"options":{"a":null,"b":"v"}}
			ovs_port.q {"name":"q","bridge":"br","tag":5}`,
		},
		{
			"absent through functions and loops",
			`step "ovs_port" "p" {
				bridge  = "br"
				options = merge({ a = "1", b = "2" }, { b = absent })
			}
			step "ovs_port" "q" {
				bridge  = "br"
				options = { for k in ["x", "y"] : k => k == "x" ? absent : k }
			}`,
			`ovs_port.p {"name":"p","bridge":"br","options":{"a":"1","b":null}}
			ovs_port.q {"name":"q","bridge":"br","options":{"x":null,"y":"y"}}`,
		},
		{
			"empty values are managed",
			`step "file" "f" {
				content = ""
				lines   = []
				options = {}
			}`,
			`file.f {"path":"f","content":"","mode":"0644","lines":[],"options":{}}`,
		},
		{
			"numbers and texts convert",
			`step "ovs_port" "p" {
				bridge  = 7
				tag     = "12"
				trunks  = ["1", 2]
				options = { a = true, b = 1.5 }
			}`,
			`ovs_port.p {"name":"p","bridge":"7","tag":12,"trunks":[1,2],"options":{"a":"true","b":"1.5"}}`,
		},
		{
			"nested blocks are lists",
			`step "file" "f" {
				lines {
					match = "^a"
					keep  = true
				}
				lines { match = host.name }
			}`,
			`file.f {"path":"f","mode":"0644","lines":[{"match":"^a","keep":true},{"match":"a"}]}`,
		},
		{
			"for_each over a map, its keys sorted",
			`step "package" "p" {
				for_each = { zsh = "5", bash = null }
				name     = each.key
				version  = each.value
			}`,
			`package.p["bash"] {"name":"bash"}
			package.p["zsh"] {"name":"zsh","version":"5"}`,
		},
		{
			"for_each over a list, in its order",
			`step "package" "p" {
				for_each = host.vars.tags
				name     = "${each.key}-${each.value}"
			}`,
			`package.p["x"] {"name":"x-x"}
			package.p["y"] {"name":"y-y"}`,
		},
		{
			"when by key",
			`step "package" "p" {
				for_each = ["x", "y"]
				when     = each.key != "x"
				name     = each.key
			}
			step "service" "s" { restart_on = [step.package.p] }
			step "service" "t" { restart_on = [step.package.p["y"]] }`,
			`package.p["y"] {"name":"y"}
			service.s {"name":"s","restart_on":["package.p[\"y\"]"],"timeout":"10s"} triggers=package.p["y"]
			service.t {"name":"t","restart_on":["package.p[\"y\"]"],"timeout":"10s"} triggers=package.p["y"]`,
		},
		{
			"when false leaves out",
			`step "package" "p" { when = host.name == "b" }
			step "package" "q" { when = host.name == "a" }
			step "file" "f" { content = coalesce(step.package.p.version, "none") }`,
			`package.q {"name":"q"}
			file.f {"path":"f","content":"none","mode":"0644"}`,
		},
		{
			"a for_each that is left out is empty",
			`step "file" "each" {
				for_each = { a = 1 }
				when     = host.name == "b"
				path     = each.key
			}
			step "file" "f" { content = join(",", [for k, s in step.file.each : k]) }
			step "service" "s" { restart_on = [step.file.each] }`,
			`file.f {"path":"f","content":"","mode":"0644"}
			service.s {"name":"s","restart_on":[],"timeout":"10s"}`,
		},
		{
			"facts not known",
			`step "package" "p" { when = host.facts.family == "debian" }
			step "package" "q" {
				for_each = host.facts.packages
				name     = each.key
			}
			step "file" "f" {
				content = "cpus=${host.facts.cpus}"
				options = { a = host.facts.kernel, b = "x" }
				lines   = [{ match = host.facts.kernel }]
			}`,
			`package.p {"name":"p"} unknown=when
			package.q {} unknown=for_each,name
			file.f {"path":"f","mode":"0644","options":{"b":"x"}} unknown=content,lines,options.a`,
		},
		{
			"after_needs",
			`step "file" "f" { after_needs = ["a.service", "${host.name}.service"] }`,
			`file.f {"path":"f","mode":"0644"} after=a.service,a.service`,
		},
		{
			"outputs of steps above are unknown",
			`step "package" "p" {}
			step "file" "f" { content = "v=${step.package.p.version}" }`,
			`package.p {"name":"p"}
			file.f {"path":"f","mode":"0644"} unknown=content`,
		},
		{
			"roles in the order of the inventory",
			`step "file" "f" { content = join(",", [for h in role.compute : "${h.name}=${h.vars.ip}@${h.address}"]) }`,
			`file.f {"path":"f","content":"a=10.0.0.1@192.0.2.1,b=10.0.0.2@b","mode":"0644"}`,
		},
		{
			"hosts by a computed key",
			`step "file" "f" { content = hosts[host.name == "a" ? "b" : "a"].vars.ip }`,
			`file.f {"path":"f","content":"10.0.0.2","mode":"0644"}`,
		},
		{
			"dotted names",
			`step "package" "a.b" {}
			step "file" "f" { content = step.package["a.b"].version }`,
			`package.a.b {"name":"a.b"}
			file.f {"path":"f","mode":"0644"} unknown=content`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := load(t, inPlay(tt.steps), Inputs{})
			units, ds := p.Units(p.Plays[0], "a", Known{})
			if len(ds) > 0 {
				t.Error(plainText(ds))
			}
			if got, want := trimLines(spell(units)), trimLines(tt.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for _, u := range units {
				if !json.Valid(u.Spec) {
					t.Errorf("%s: %s is no JSON", u.Address, u.Spec)
				}
			}
		})
	}
}
