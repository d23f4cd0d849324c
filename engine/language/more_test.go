package language

import (
	"fmt"
	"strings"
	"testing"
)

// TestAside wants the outputs of a step that the tags leave out, where a step
// that they do not leave out names them.
func TestAside(t *testing.T) {
	p := load(t, inPlay(`
		step "package" "a" {}
		step "package" "b" {}
		step "file" "f" {
			content = step.package.a.version
			tags    = ["y"]
		}`), Inputs{Tags: []string{"y"}})
	e, _ := p.Evaluate(p.Plays[0], "a", Known{})
	if got := spell(e.Aside); got != "package.a {\"name\":\"a\"}\n" || len(e.Units) != 1 || len(e.Skipped) != 2 {
		t.Errorf("aside %s, units %s, skipped %v", got, spell(e.Units), e.Skipped)
	}
}

func TestLargeLoops(t *testing.T) {
	files := fleet(1001, 1)
	for text, want := range map[string]int{
		`join(",", [for h in role.compute : h.name])`:                  0,
		`join(",", [for h in role.compute : h.name if h != host])`:     1,
		`"${role.compute[0].name}${host.name}"`:                        0,
		`join(",", [for h in role.compute : "${h.facts.kernel}-all"])`: 0,
	} {
		files["play.hcl"] = "play \"p\" {\n  hosts = role.compute\n  step \"file\" \"f\" { content = " + text + " }\n}\n"
		c, _ := Load(testKinds(), Sources{Playbook: "play.hcl", Inventories: []string{"inv.hcl"}, Read: fileTree(files)})
		_, ds := c.Bind(Inputs{})
		if len(ds) != want || ds.Failed() {
			t.Errorf("%s: %s", text, plainText(ds))
		}
	}
}

func TestFunctions(t *testing.T) {
	files := map[string]string{
		"name.txt":  "text\n",
		"loop.tmpl": "%{ for h in hosts ~}\n${h.name} ${upper(h.ip)}\n%{ endfor ~}\n",
		"number":    "${n}",
	}
	for expr, want := range map[string]string{
		`file("name.txt")`: "text\n",
		`templatefile("loop.tmpl", { hosts = [{ name = "a", ip = "fe80::1" }, { name = "b", ip = "x" }] })`: "a FE80::1\nb X\n",
		`templatefile("number", { n = 5 })`:                                  "5",
		`cidrhost("10.0.0.0/24", 5)`:                                         "10.0.0.5",
		`cidrhost("10.0.0.7/24", -2)`:                                        "10.0.0.254",
		`cidrhost("fd00::/64", 256)`:                                         "fd00::100",
		`cidrnetmask("10.0.0.0/25")`:                                         "255.255.255.128",
		`cidrsubnet("10.0.0.0/8", 8, 3)`:                                     "10.3.0.0/16",
		`cidrsubnet("fd00::/48", 16, 1)`:                                     "fd00:0:0:1::/64",
		`"${cidrprefix("10.0.0.0/25")}"`:                                     "25",
		`join(",", tolist(toset(["b", "a", "b"])))`:                          "a,b",
		`jsonencode({ a = [1, "x", null] })`:                                 `{"a":[1,"x",null]}`,
		`jsondecode("{\"a\":[1]}").a[0]`:                                     "1",
		`lookup({ a = "x" }, "b", "none")`:                                   "none",
		`merge({ a = "1" }, { a = "2" }).a`:                                  "2",
		`base64decode(base64encode("héllo"))`:                                "héllo",
		`sha256("")`:                                                         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		`try(host.vars.none, "fallback")`:                                    "fallback",
		`can(host.vars.none) ? "y" : "n"`:                                    "n",
		`"${length("日本")}${length([1])}${length({ a = 1, b = 2 })}"`:         "212",
		`replace("a.b", ".", "-")`:                                           "a-b",
		`regex("^[a-z]+", "abc1")`:                                           "abc",
		`indent(2, "a\nb")`:                                                  "a\n  b",
		`format("%03d %s", 7, "x")`:                                          "007 x",
		`element(["a", "b"], 3)`:                                             "b",
		`join(",", formatlist("%s!", ["a", "b"]))`:                           "a!,b!",
		`zipmap(["a"], ["x"]).a`:                                             "x",
		`join(",", flatten([["a"], ["b", ["c"]]]))`:                          "a,b,c",
		`startswith("br-ext", "br-") ? trimprefix("br-ext", "br-") : "none"`: "ext",
		`coalesce(null, "x")`:                                                "x",
		`tostring(5)`:                                                        "5",
	} {
		all := inPlay(`step "file" "f" { content = ` + expr + " }")
		for name, text := range files {
			all[name] = text
		}
		p, ds := tryLoad(all, Inputs{})
		if ds.Failed() {
			t.Errorf("%s: %s", expr, plainText(ds))
			continue
		}
		units, _ := p.Units(p.Plays[0], "a", Known{})
		wanted := string(appendString([]byte(`"content":`), want))
		if !strings.Contains(string(units[0].Spec), wanted+",") {
			t.Errorf("%s is %s, want %s", expr, units[0].Spec, wanted)
		}
	}
}

func TestFunctionMistakes(t *testing.T) {
	for expr, want := range map[string]string{
		`cidrhost("10.0.0.0/30", 4)`:               "10.0.0.0/30 has no host number 4",
		`cidrhost("10.0.0.0", 4)`:                  `"10.0.0.0" is no network in CIDR notation`,
		`cidrnetmask("fd00::/64")`:                 "only IPv4 has netmasks",
		`cidrsubnet("10.0.0.0/8", 2, 4)`:           "no subnet number 4 with 2 more bits",
		`cidrsubnet("10.0.0.0/30", 8, 1)`:          "no room for 8 more bits",
		`base64decode("%")`:                        "Not base64",
		`file("none")`:                             "open none: no such file or directory",
		`templatefile("missing", {})`:              "open missing: no such file or directory",
		`templatefile("broken", {})`:               "broken:1:3",
		`templatefile("nested", { a = { b = 1 }})`: `a has no "c"`,
		`templatefile("calls", {})`:                `there is no function "templatefile" in a template`,
		`templatefile("nested", 5)`:                "the second argument is a map",
		`length(5)`:                                "only strings, lists, maps and sets have a length",
	} {
		files := inPlay(`step "file" "f" { content = ` + expr + " }")
		files["broken"], files["nested"], files["calls"] = "${}", "${a.c}", `${templatefile("x", {})}`
		_, ds := tryLoad(files, Inputs{})
		if len(ds) != 1 || !strings.Contains(strings.ToLower(plainText(ds)), strings.ToLower(want)) {
			t.Errorf("%s: want %q, got\n%s", expr, want, plainText(ds))
		}
	}
}

func TestFormat(t *testing.T) {
	got, ds := Format("x.hcl", []byte("play \"p\" {\nhosts=\"all\"\n  serial   = 1\n}\n"))
	want := "play \"p\" {\n  hosts  = \"all\"\n  serial = 1\n}\n"
	if string(got) != want || ds != nil {
		t.Errorf("got %s%s", got, plainText(ds))
	}
	got, ds = Format("x.hcl", []byte("play \"p\" {\n"))
	if string(got) != "play \"p\" {\n" || !ds.Failed() || ds[0].Snippet == nil {
		t.Errorf("got %s%v", got, ds)
	}
}

// TestKindsThatDoNotFit wants a panic where a spec could not be written in a
// playbook: that is a mistake in the program.
func TestKindsThatDoNotFit(t *testing.T) {
	for _, spec := range []any{
		struct {
			F chan int `json:"f"`
		}{},
		struct {
			F int `json:"f" default:"many"`
		}{},
		struct {
			F string `json:"time_limit"` // every step has one
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T is taken", spec)
				}
			}()
			table := testKinds()
			k := table["file"]
			k.Spec = spec
			table["file"] = k
			Load(table, Sources{})
		}()
	}
}

func ExampleLoad() {
	playbook := `
play "names" {
  hosts = "all"
  step "file" "/etc/name" {
    content = "I am ${host.name}\n"
  }
}`
	read := func(string) ([]byte, error) { return []byte(playbook), nil }
	config, ds := Load(testKinds(), Sources{Playbook: "names.hcl", Inventories: []string{"a,b"}, Read: read})
	program, more := config.Bind(Inputs{})
	if err := Join(ds, more, program.Validate()).Err(); err != nil {
		fmt.Println(err)
		return
	}
	units, _ := program.Units(program.Plays[0], "b", Known{})
	fmt.Println(units[0].Address, string(units[0].Spec))
	// Output: file./etc/name {"path":"/etc/name","content":"I am b\n","mode":"0644"}
}
