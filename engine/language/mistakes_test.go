package language

import (
	"fmt"
	"strings"
	"testing"
)

// TestMistakes has one mistake a case, and wants exactly that told: no
// consequence of it.
func TestMistakes(t *testing.T) {
	tests := []struct {
		name string
		text string // steps in a play on all hosts of two
		want string // SUMMARY @LINE:COLUMN; the first line of text is 3
		hint string
	}{
		{"unknown root", `step "file" "f" { content = foo }`, `"foo" means nothing here @3:29`, `write var.foo`},
		{"each without for_each", `step "file" "f" { content = each.key }`, `a step cannot use "each" @3:29`, ""},
		{"param outside a list", `step "file" "f" { content = param.x }`, `a step cannot use "param" @3:29`, ""},
		{"each of nothing", `step "file" "f" {
			for_each = ["a"]
			path     = each.kye
		}`, `each has a key and a value, nothing else @5:20`, "each.key"},
		{"step without a name", `step "file" "f" { content = step.package }`, `a reference to a step needs its kind and its name @3:29`, "step.KIND.NAME"},
		{"itself", `step "file" "f" { content = step.file.f.path }`, `step file.f names itself @3:29`, ""},
		{"unknown step", `step "package" "ovn-host" {}
step "file" "f" { content = step.package.ovn-hots.version }`, `there is no step package.ovn-hots @4:29`, `"ovn-host"`},
		{"step of another kind", `step "package" "ovn-host" {}
step "file" "f" { content = step.file.ovn-host.path }`, `there is no step file.ovn-host @4:29`, `step.package.ovn-host`},
		{"unknown kind in a reference", `step "file" "f" { content = step.packaeg.x.version }`, `there is no kind of step "packaeg" @3:29`, `"package"`},
		{"key without for_each", `step "package" "p" {}
step "file" "f" { content = step.package.p["x"].version }`, `step package.p has no for_each, so it has no keys @4:29`, ""},
		{"no outputs", `step "service" "s" {}
step "file" "f" { content = step.service.s.up }`, `kind "service" has no outputs @4:29`, ""},
		{"nested attribute", `step "file" "f" { lines = [{ match = "a", txt = "b" }] }`, `"lines[0]" has no attribute "txt" @3:43`, `"text"`},
		{"nested missing", `step "file" "f" { lines = [{ text = "b" }] }`, `"lines[0]" needs "match" @3:28`, "it is a string"},
		{"nested computed", `step "file" "f" { lines = [for x in ["a"] : { txt = x, match = x }] }`, `lines has no attribute "txt" @3:27`, `"text"`},
		{"key given twice", `step "ovs_port" "p" {
			bridge  = "b"
			options = { a = 1, a = 2 }
		}`, `"a" is given twice @5:23`, ""},
		{"not a list", `step "ovs_port" "p" {
			bridge = "b"
			trunks = 5
		}`, `trunks must be a list of whole numbers @5:13`, ""},
		{"not whole", `step "ovs_port" "p" {
			bridge = "b"
			tag    = 1.5
		}`, `tag must be a whole number @5:13`, ""},
		{"required null", `step "ovs_port" "p" { bridge = null }`, `bridge is null here, and must be given @3:32`, "a string"},
		{"absent required", `step "ovs_port" "p" { bridge = absent }`, `bridge cannot be absent @3:32`, ""},
		{"absent state", `step "package" "p" { state = absent }`, `state is a word, not a value that can be absent @3:30`, `"absent"`},
		{"absent map", `step "file" "f" { options = absent }`, `options cannot be absent as a whole @3:29`, ""},
		{"state enum", `step "package" "p" { state = "absnet" }`, `state cannot be "absnet" @3:30`, `"absent"`},
		{"null in a list", `step "ovs_port" "p" {
			bridge = "b"
			trunks = [1, null]
		}`, `trunks[1] is null @5:17`, ""},
		{"a host that is not there", `step "copy" "/x" {
			host = "c"
			sum  = "abc"
		}`, `host: there is no host "c" @4:11`, `"a"`},
		{"a host that a loop names", `step "copy" "/x" {
			for_each = ["b", "none"]
			path     = "/x/${each.key}"
			host     = each.value
			sum      = "abc"
		}`, `host: there is no host "none" @6:15`, ""},
		{"seen before all is known", `step "file" "f" {}
step "copy" "x" {
			host = "a"
			sum  = step.file.f.path
		}`, `path is not absolute @4:1`, ""},
		{"of what is known alone", `step "file" "f" {}
step "copy" "/x" {
			host = step.file.f.path
			sum  = "abcd"
		}`, `sum is no sum @6:11`, ""},
		{"when of a text", `step "file" "f" { when = "maybe" }`, `when is true or false @3:26`, ""},
		{"for_each of a number", `step "package" "p" {
			for_each = 5
			name     = each.key
		}`, `for_each is a map, or a list of strings @4:15`, ""},
		{"for_each twice", `step "package" "p" {
			for_each = ["a", "a"]
			name     = each.key
		}`, `for_each has "a" twice @4:15`, "distinct"},
		{"for_each without label", `step "package" "p" {
			for_each = ["a", "b"]
			version  = each.key
		}`, `kind "package" needs "name" under for_each @3:1`, "name = each.key"},
		{"quoted trigger", `step "package" "p" {}
step "service" "s" { restart_on = step.package.p.version }`, `restart_on must name steps, not their outputs @4:35`, ""},
		{"attribute as block", `step "ovs_port" "p" {
			bridge { }
		}`, `"bridge" is an attribute, not a block @4:4`, ""},
		{"division by zero", `step "ovs_port" "p" {
			bridge = "b"
			tag    = 1 / 0
		}`, `tag is divided by zero @5:13`, ""},
		{"no such element", `step "file" "f" { content = role.central[3].name }`, `role.central has no element [3] @3:41`, ""},
		{"missing, and nothing that follows from it", `step "ovs_port" "p" { mac = "02:00:00:00:00:01" }`, `kind "ovs_port" needs "bridge" @3:1`, ""},
		{"computed key", `step "file" "f" { content = hosts["${host.address == "" ? "" : "bb"}"].name }`, `hosts has no "bb" @3:35`, `"b"`},
		{"computed element", `step "file" "f" { content = role.compute[length(role.compute)].name }`, `role.compute has no element [2] @3:42`, ""},
		{"null in a text", `step "file" "f" { content = "a${null}" }`, `invalid template interpolation value @3:33`, ""},
		{"arguments", `step "file" "f" { content = upper() }`, `upper: not enough function arguments @3:35`, ""},
		{"text plus number", `step "file" "f" { content = "a" + 1 }`, `invalid operand @3:29`, ""},
		{"facts in a loop, misspelt", `step "file" "f" { content = join(",", [for h in role.compute : h.facts.kernle]) }`, `there is no fact "kernle" @3:72`, `"kernel"`},
		{"other host of this play", `step "package" "p" {}
step "file" "f" { content = hosts["b"].step.package.p.version }`, `step package.p of another host is in this same play @4:29`, "later play"},
		{"missing file", `step "file" "f" { content = file("nothing.txt") }`, `file: error in function call @3:29`, ""},
		{"shared row", `step "ovn_switch_port" "x" { switch = "s" }`, `step ovn_switch_port.x would be written by several hosts @3:1`, "role.NAME[0]"},
		{"empty name", `step "file" "" {}`, `a name that is empty @3:13`, ""},
		{"labels", `step "file" {}`, `this block is written step "KIND" "NAME" { … } @3:1`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ds := tryLoad(inPlay(tt.text), Inputs{})
			if len(ds) != 1 {
				t.Fatalf("%d diagnostics, want 1:\n%s", len(ds), plainText(ds))
			}
			got := fmt.Sprintf("%s @%d:%d", ds[0].Summary, ds[0].Range.Start.Line, ds[0].Range.Start.Column)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !strings.Contains(ds[0].Hint, tt.hint) {
				t.Errorf("hint %q, want %q in it", ds[0].Hint, tt.hint)
			}
		})
	}
}

// TestMistakesOfFiles has those that are not in a step.
func TestMistakesOfFiles(t *testing.T) {
	tests := []struct {
		name, play, inv string
		want            []string // SUMMARY @FILE:LINE
	}{
		{"unknown top block", "plya \"x\" {}\n", "", []string{`a playbook has no block "plya" @play.hcl:1`}},
		{"unknown top attribute", "sites = \"x\"\n", "", []string{`a playbook has no attribute "sites" @play.hcl:1`}},
		{"play in an inventory", "", "play \"x\" { hosts = \"all\" }\n", []string{"a play stands in a playbook, not in an inventory @inv.hcl:1"}},
		{"host twice", "", "host \"a\" {}\nhost \"a\" {}\n", []string{`host "a" is there twice @inv.hcl:2`}},
		{"play without hosts", "play \"p\" {}\n", "", []string{`play "p" says no hosts @play.hcl:1`}},
		{"unknown host in a play", "play \"p\" { hosts = [\"comput\"] }\n", two, []string{`hosts: no host, group or role is called "comput": did you mean "compute"? @play.hcl:1`}},
		{"no hosts", "play \"p\" { hosts = [] }\n", two, []string{`play "p" has no hosts @play.hcl:1`}},
		{"some hosts, and none is there", "locals { some = [for h in hosts : h if can(h.vars.no)] }\nplay \"p\" { hosts = [for h in hosts : h if can(h.vars.no)] }\nplay \"q\" { hosts = slice(local.some, 0, 0) }\n", two, nil},
		{"negative serial", "play \"p\" {\n hosts = \"all\"\n serial = -1\n}\n", two, []string{"serial is a whole number, 0 or more @play.hcl:3"}},
		{"local circle", "locals {\n a = local.b\n b = local.a\n}\n", "", []string{`local "b" needs itself @play.hcl:3`}},
		{"host in a local", "locals { a = host.name }\n", "", []string{`a local cannot use "host" @play.hcl:1`}},
		{"role in an inventory", "", "host \"a\" { vars = { x = role.b } }\n", []string{`an inventory cannot use "role" @inv.hcl:1`}},
		{"variable without a value", "variable \"x\" {}\n", "", []string{`variable "x" has no value @play.hcl:1`}},
		{"default of another type", "variable \"x\" {\n type = number\n default = \"y\"\n}\n", "", []string{`the default of variable "x" does not fit its type @play.hcl:3`}},
		{"validation", "variable \"x\" {\n default = 5\n validation {\n  condition = var.x > 6\n  error_message = \"more\"\n }\n}\n", "", []string{`the value of variable "x" is not valid @play.hcl:4`}},
		{"validation of another", "variable \"x\" {\n default = 5\n validation {\n  condition = var.y\n  error_message = \"more\"\n }\n}\n", "", []string{`a validation may name its own variable alone @play.hcl:4`}},
		{"type", "variable \"x\" {\n type = strng\n default = 1\n}\n", "", []string{"this is no type @play.hcl:2"}},
		{"missing include", "include = [\"lists/no.hcl\"]\n", "", []string{"cannot read an included file: open lists/no.hcl: no such file or directory @play.hcl:1"}},
		{"two uses of a name", "steps \"l\" {\n step \"file\" \"/a\" {}\n}\nsteps \"m\" {\n step \"file\" \"/b\" {}\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"x\" {}\n use \"m\" \"x\" {}\n}\n", "", []string{`a use named "x" is there twice @play.hcl:10`}},
		{"list uses itself", "steps \"l\" {\n use \"l\" \"x\" {}\n}\n", "", []string{`list of steps "l" uses itself @play.hcl:2`}},
		{"list names outside", "steps \"l\" {\n step \"file\" \"f\" { content = step.package.p.version }\n}\nplay \"p\" {\n hosts = \"all\"\n step \"package\" \"p\" {}\n use \"l\" \"u\" {}\n}\n", two, []string{`list of steps "l" has no step package.p @play.hcl:2`}},
		{"unknown param", "steps \"l\" {\n param \"name\" {}\n step \"file\" \"f\" { content = param.naem_ }\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"u\" {\n  naem = 1\n  name = 2\n }\n}\n", two, []string{`list of steps "l" has no param "naem_" @play.hcl:3`, `list of steps "l" has no param "naem" @play.hcl:8`}},
		{"missing param", "steps \"l\" {\n param \"name\" {}\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"u\" {}\n}\n", two, []string{`param "name" of list "l" has no value @play.hcl:6`}},
		{"param of another type", "steps \"l\" {\n param \"n\" { type = number }\n step \"file\" \"f\" { limit = param.n }\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"u\" { n = host.vars.ip }\n}\n", two, []string{`param "n" of list "l" does not fit its type @play.hcl:7`}},
		{"step in two plays", "play \"p\" {\n hosts = \"all\"\n step \"package\" \"x\" {}\n}\nplay \"q\" {\n hosts = \"a\"\n step \"package\" \"x\" {}\n}\n", two, []string{`step package.x is already in play "p" @play.hcl:7`}},
		{"output of a computed key", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"e\" {\n  for_each = [\"xx\", \"yy\"]\n  path = each.key\n }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"file\" \"f\" {\n  for_each = [\"yx\"]\n  path = each.key\n  content = hosts[\"b\"].step.file.e[\"x${substr(each.key, 1, 1)}\"].digets\n }\n}\n", two, []string{`hosts["b"].step.file.e["xx"] has no "digets" @play.hcl:13`}},
		{"no key of another host", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"e\" {\n  for_each = [\"xx\", \"yy\"]\n  path = each.key\n }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"file\" \"f\" {\n  for_each = [\"yx\"]\n  path = each.key\n  content = hosts[\"b\"].step.file.e.digest\n }\n}\n", two, []string{`step file.e is many steps, for it has a for_each @play.hcl:13`}},
		{"key of a computed host", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"e\" {\n  for_each = [\"xx\", \"yy\"]\n  path = each.key\n }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"file\" \"f\" {\n  for_each = [\"yx\"]\n  path = each.key\n  content = hosts[substr(each.key, 0, 0) == \"\" ? \"b\" : \"a\"].step.file.e[each.key].digest\n }\n}\n", two, []string{`hosts["b"].step.file.e has no "yx" @play.hcl:13`}},
		{"key of another host, written", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"e\" {\n  for_each = [\"xx\", \"yy\"]\n  path = each.key\n }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"file\" \"f\" {\n  for_each = [\"yx\"]\n  path = each.key\n  content = hosts[\"b\"].step.file.e[\"zz\"].digest\n }\n}\n", two, []string{`hosts["b"].step.file.e has no "zz" @play.hcl:13`}},
		{"key of another host, computed", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"e\" {\n  for_each = [\"xx\", \"yy\"]\n  path = each.key\n }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"file\" \"f\" {\n  for_each = [\"yx\"]\n  path = each.key\n  content = hosts[\"b\"].step.file.e[each.key].digest\n }\n}\n", two, []string{`hosts["b"].step.file.e has no "yx" @play.hcl:13`}},
		{"later play", "play \"p\" {\n hosts = \"all\"\n step \"file\" \"f\" { content = hosts[\"a\"].step.package.x.version }\n}\nplay \"q\" {\n hosts = \"a\"\n step \"package\" \"x\" {}\n}\n", two, []string{`step package.x comes later, in play "q" @play.hcl:3`}},
		{"step of other hosts", "play \"p\" {\n hosts = \"b\"\n step \"package\" \"x\" {}\n}\nplay \"q\" {\n hosts = \"all\"\n step \"file\" \"f\" { content = step.package.x.version }\n}\n", two, []string{`a does not have the step package.x @play.hcl:7`}},
		{"wire with access", "", "lab \"l\" {\n network \"net\" {\n  cidr = \"10.0.0.0/24\"\n  access = true\n  wire = true\n }\n}\nhost \"a\" {}\n",
			[]string{`network "net" is joined by the machine itself, and a wire has two ends: leave access out @inv.hcl:5`}},
		{"wire with three ends", "", "lab \"l\" {\n network \"w\" { wire = true }\n}\nhost \"a\" {\n nic \"e\" { network = \"w\" }\n nic \"f\" { network = \"w\" }\n nic \"g\" { network = \"w\" }\n}\n",
			[]string{`network "w" is a wire, and two nics are at its ends already @inv.hcl:7`}},
		{"unknown network of a nic", "", "lab \"l\" {\n image = \"d\"\n network \"net\" {}\n}\nhost \"a\" {\n nic \"e\" { network = \"nte\" }\n}\n", []string{`lab "l" has no network "nte" @inv.hcl:6`}},
		{"local of hosts in an inventory", "locals { all = [for h in role.central : h.name] }\n", "host \"a\" {\n roles = [\"central\"]\n vars = { x = local.all }\n}\n", []string{`local "all" is known only once the inventory is read @inv.hcl:3`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{}
			if tt.play != "" {
				files["play.hcl"] = tt.play
			}
			if tt.inv != "" {
				files["inv.hcl"] = tt.inv
			}
			_, ds := tryLoad(files, Inputs{})
			var got []string
			for _, d := range ds {
				got = append(got, fmt.Sprintf("%s @%s:%d", d.Summary, d.File, d.Range.Start.Line))
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), plainText(ds))
			}
		})
	}
}

// TestMistakesBesideEachOther: a wrong type hides neither a value that no machine
// takes nor what is missing.
func TestMistakesBesideEachOther(t *testing.T) {
	_, ds := tryLoad(inPlay(`step "ovs_port" "p" {
		mac = "x"
		tag = "five"
	}`), Inputs{})
	if len(ds) != 3 {
		t.Errorf("%d diagnostics, want 3:\n%s", len(ds), plainText(ds))
	}
}
