package language

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/engine/step"
)

// TestComputedKeysOfOtherHosts asks for steps of a for_each of another host by what is
// computed: by each.key, by a variable, in a loop, and of a host that is computed too.
func TestComputedKeysOfOtherHosts(t *testing.T) {
	const first = `
variable "which" { default = "y" }
play "p" {
  hosts = "all"
  step "file" "each" {
    for_each = { x = 1, y = 2 }
    path     = "/etc/${each.key}"
  }
}
play "q" {
  hosts = "a"
  step "file" "f" {
    for_each = %s
    path     = each.key
    content  = %s
  }
}`
	for _, c := range []struct{ keys, content, want string }{
		{`["x", "y"]`, `hosts["b"].step.file.each[each.key].digest`, "x=b x|y=b y"},
		{`["b"]`, `hosts[each.key].step.file.each[var.which].digest`, "b=b y"},
		{`["b"]`, `hosts[each.key].step.file.each["x"].digest`, "b=b x"},
		{`["b"]`, `"${hosts["b"].step.file.each["y"].digest} ${hosts["b"].step.file.each[var.which].digest}"`, "b=b y b y"},
		{`["b"]`, `join(",", [for k, f in hosts["b"].step.file.each : "${k} ${f.digest}"])`, "b=x b x,y b y"},
		{`["x"]`, `join(",", [for h in role.compute : h.step.file.each[each.key].digest])`, "x=a x,b x"},
	} {
		p := load(t, map[string]string{"inv.hcl": two, "play.hcl": fmt.Sprintf(first, c.keys, c.content)}, Inputs{})
		if got := p.Reads(p.Plays[1], "a").Others; len(got) == 0 || !slices.Equal(got[len(got)-1].Steps, []string{"file.each"}) {
			t.Errorf("%s: reads %+v", c.content, got)
		}
		for _, memo := range []*Memo{nil, {}} {
			units, ds := p.Units(p.Plays[1], "a", Known{Memo: memo, Outputs: saysAddress})
			if got := contents(t, units); got != c.want || len(ds) > 0 {
				t.Errorf("%s: got %s\n%s", c.content, got, plainText(ds))
			}
			units, ds = p.Units(p.Plays[1], "a", Known{})
			if len(ds) > 0 || len(units) == 0 || !slices.Equal(units[0].Unknown, []string{"content"}) {
				t.Errorf("%s, before anything is known: %s\n%s", c.content, spell(units), plainText(ds))
			}
		}
	}
}

// saysAddress are outputs that tell of which step they are.
func saysAddress(h, address string) json.RawMessage {
	if _, key, ok := strings.Cut(address, "["); ok {
		address = strings.Trim(key, `]"`)
	}
	return json.RawMessage(fmt.Sprintf(`{"digest":%q,"path":%q}`, h+" "+address, "/etc/"+h))
}

// contents are the contents of files by their paths.
func contents(t *testing.T, units []step.Unit) string {
	t.Helper()
	var out []string
	for _, u := range units {
		var f struct{ Path, Content string }
		if err := json.Unmarshal(u.Spec, &f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Path+"="+f.Content)
	}
	return strings.Join(out, "|")
}

// TestKeysThatOtherHostsMake has for_each depend on the host, on another step's outputs
// and on which play the host is in.
func TestKeysThatOtherHostsMake(t *testing.T) {
	p := load(t, map[string]string{"inv.hcl": two, "play.hcl": `
play "one" {
  hosts = "a"
  step "file" "each" {
    for_each = ["only-${host.name}"]
    path     = each.key
  }
}
play "other" {
  hosts = "b"
  step "file" "first" {}
  step "file" "each" {
    for_each = [step.file.first.digest, "left-out"]
    when     = each.key != "left-out"
    path     = each.key
  }
  step "file" "none" {
    when     = host.name == "a"
    for_each = ["x"]
    path     = each.key
  }
}
play "last" {
  hosts = "a"
  step "file" "f" {
    for_each = ["a", "b"]
    path     = each.key
    content  = join(",", [for k, f in hosts[each.key].step.file.each : "${k} ${f.digest == null ? "null" : f.digest}"])
  }
  step "file" "g" { content = "${length(hosts["b"].step.file.none)}" }
}`}, Inputs{})
	units, ds := p.Units(p.Plays[2], "a", Known{Outputs: saysAddress})
	if got, want := contents(t, units), "a=only-a a only-a|b=b file.first b b file.first,left-out null|g=0"; got != want || len(ds) > 0 {
		t.Errorf("got %s\n%s", got, plainText(ds))
	}
	units, ds = p.Units(p.Plays[2], "a", Known{})
	for i, unknown := range []bool{true, true, false} {
		if len(units) != 3 || len(units[i].Unknown) > 0 != unknown || len(ds) > 0 {
			t.Errorf("before anything is known: %s\n%s", spell(units), plainText(ds))
		}
	}
}
