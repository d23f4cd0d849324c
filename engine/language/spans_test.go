package language

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/engine/host"
)

func TestSpans(t *testing.T) {
	tests := []struct {
		name string
		head string // of the play, on all hosts of two
		text string // steps
		want string // on host a, without specs
	}{
		{"of a step", "", `step "package" "p" {
			guard      = "90s"
			time_limit = "10m"
		}`, "package.p guard=1m30s limit=10m0s"},
		{"of a play, for all its steps", `guard = "60s"
			time_limit = "5m"`, `
			step "package" "p" {}
			step "service" "s" { running = true }`, "package.p guard=1m0s limit=5m0s; service.s guard=1m0s limit=5m0s"},
		{"a step's own wins", `guard = "60s"
			time_limit = "5m"`, `step "package" "p" {
			guard      = "5s"
			time_limit = "24h"
		}`, "package.p guard=5s limit=24h0m0s"},
		{"a step takes leave", `guard = "60s"
			time_limit = "5m"`, `
			step "package" "p" {
				guard      = absent
				time_limit = host.name == "a" ? absent : "1m"
			}`, "package.p"},
		{"null is left out", `guard = "60s"`, `step "package" "p" { guard = null }`, "package.p guard=1m0s"},
		{"a probe is not guarded, but limited", `guard = "60s"
			time_limit = "5m"`, `
			step "package" "p" {}
			step "probe" "x" {}`, "package.p guard=1m0s limit=5m0s; probe.x limit=5m0s"},
		{"of variables and host.vars", `guard = "${var.patience}s"`, `
			step "package" "p" { time_limit = "${length(host.vars.ip)}m" }`, "package.p guard=42s limit=8m0s"},
		{"of each", "", `step "package" "p" {
			for_each = { a = "10s", b = "20s" }
			name     = each.key
			guard    = each.value
		}`, `package.p["a"] guard=10s; package.p["b"] guard=20s`},
		{"of a param", `time_limit = "3m"`, `use "l" "u" { patience = "30s" }`, "package.u/p guard=30s limit=3m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := load(t, spanFiles(tt.head, tt.text), Inputs{})
			units, ds := p.Units(p.Plays[1], "a", Known{})
			if ds.Failed() {
				t.Fatal(plainText(ds))
			}
			var got []string
			for _, line := range strings.Split(strings.TrimSpace(spell(units)), "\n") {
				words := strings.Fields(line)
				got = append(got, strings.Join(slices.Delete(words, 1, 2), " "))
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), tt.want)
			}
		})
	}
}

func spanFiles(head, steps string) map[string]string {
	return map[string]string{"inv.hcl": two, "play.hcl": `variable "patience" { default = 42 }
variable "secret" {
  sensitive = true
  default   = "77s-canary"
}
play "before" {
  hosts = "all"
  step "package" "x" {}
}
steps "l" {
  param "patience" {}
  step "package" "p" { guard = param.patience }
}
play "p" {
hosts = "all"
` + head + "\n" + steps + "\n}\n"}
}

// TestSpanOfFacts: it is told that the unit waits for them.
func TestSpanOfFacts(t *testing.T) {
	p := load(t, inPlay(`step "package" "p" { time_limit = "${host.facts.cpus}m" }`), Inputs{})
	units, _ := p.Units(p.Plays[0], "a", Known{})
	if len(units) != 1 || !slices.Equal(units[0].Unknown, []string{"time_limit"}) || units[0].Limit != 0 {
		t.Errorf("without facts: %+v", units)
	}
	units, ds := p.Units(p.Plays[0], "a", Known{Facts: func(string) *host.Facts { return &host.Facts{CPUs: 4} }})
	if ds.Failed() || len(units) != 1 || len(units[0].Unknown) > 0 || units[0].Limit != 4*time.Minute {
		t.Errorf("with facts: %+v %s", units, plainText(ds))
	}
}

func TestSpanMistakes(t *testing.T) {
	tests := []struct {
		name, head, text string
		want             string // SEVERITY: SUMMARY @LINE:COLUMN; the first line of head is 16
		hint             string
	}{
		{"no unit", "", `step "package" "p" { guard = "60" }`, `error: guard is a duration, not "60" @17:30`, `write guard = "60s"`},
		{"a number", "", `step "package" "p" { time_limit = 60 }`, "error: time_limit is a duration, as a string @17:35", `write time_limit = "60s"`},
		{"a list", `guard = ["60s"]`, `step "package" "p" {}`, "error: guard is a duration, as a string @16:9", ""},
		{"negative", "", `step "package" "p" { guard = "-1m" }`, "error: guard cannot be negative @17:30", "leave it out"},
		{"too short", "", `step "package" "p" { guard = "4s" }`, "error: guard cannot be shorter than 5s @17:30", "absent"},
		{"none", "", `step "package" "p" { time_limit = "0s" }`, "error: time_limit cannot be shorter than 1s @17:35", "absent"},
		{"too long", "", `step "package" "p" { guard = "25h" }`, "error: guard cannot be longer than 24h0m0s @17:30", ""},
		{"a play's", `time_limit = "soon"`, `step "package" "p" {}`, `error: time_limit is a duration, not "soon" @16:14`, `write time_limit = "60s"`},
		{"an output", "", `step "package" "p" {}
step "package" "q" { guard = step.package.p.version }`, "error: guard cannot be made of the outputs of steps @18:30", ""},
		{"an output of another host", "", `step "package" "p" { time_limit = join("", [for h in role.compute : h.step.package.x.version]) }`,
			"error: time_limit cannot be made of the outputs of steps @17:70", ""},
		{"sensitive", "", `step "package" "p" { guard = var.secret }`, "error: guard cannot be sensitive @17:30", ""},
		{"a probe", "", `step "probe" "x" { guard = "60s" }`, "warning: a probe has nothing to guard @17:28", "that this probe looks at"},
		{"probes alone", `guard = "60s"`, `step "probe" "x" {}`, `warning: play "p" has nothing to guard @16:9`, "its own play"},
		{"nothing", `guard = "60s"`, "", `warning: play "p" has nothing to guard @16:9`, ""},
		{"of a use", "", `use "l" "u" {
  patience = "30s"
  guard    = "60s"
}`, "error: use has no guard @19:3", "on the steps of the list"},
		{"policy", `on_failure = "rollback_al"`, `step "package" "p" {}`, `error: on_failure cannot be "rollback_al" @16:14`, `"rollback_all"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ds := tryLoad(spanFiles(tt.head, tt.text), Inputs{})
			if len(ds) != 1 {
				t.Fatalf("%d diagnostics, want 1:\n%s", len(ds), plainText(ds))
			}
			got := fmt.Sprintf("%s: %s @%d:%d", ds[0].Severity, ds[0].Summary, ds[0].Range.Start.Line, ds[0].Range.Start.Column)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !strings.Contains(ds[0].Hint, tt.hint) {
				t.Errorf("hint %q, want %q in it", ds[0].Hint, tt.hint)
			}
			if strings.Contains(plainText(ds), "canary") {
				t.Error("a sensitive value is in the text")
			}
		})
	}
}

func TestPoliciesOfFailure(t *testing.T) {
	for _, policy := range []string{Rollback, Stop, RollbackRun, RollbackAll} {
		p := load(t, spanFiles(fmt.Sprintf("on_failure = %q", policy), `step "package" "p" {}`), Inputs{})
		if p.Plays[1].OnFailure != policy {
			t.Errorf("%s became %s", policy, p.Plays[1].OnFailure)
		}
	}
}
