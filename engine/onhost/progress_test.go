package onhost

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// talker says much about itself while it is applied and undone.
type talker struct{ step.Step }

func (s talker) Apply(ctx context.Context, h host.Host, f step.Finding) error {
	for range 1000 {
		h.Tell("compiled with pa55word 1 of 2" + strings.Repeat("…", 200) + "\nand more")
	}
	return s.Step.Apply(ctx, h, f)
}

func (s talker) Undo(ctx context.Context, h host.Host, f step.Finding) error {
	h.Tell("going back")
	return s.Step.Undo(ctx, h, f)
}

// TestProgress: a step's words come while it is at work, few of many, short and
// without secrets.
func TestProgress(t *testing.T) {
	s := newSite(t)
	s.config.Table["talker"] = step.Kind{Name: "talker", Spec: fileSpec{}, Make: func(u step.Unit) (step.Step, error) {
		spec, err := step.Decode[fileSpec](u)
		return talker{step.Of("file "+spec.Path, fileKind{}, spec)}, err
	}}
	u := file("/etc/x", "pa55word")
	u.Kind, u.Address, u.Secret = "talker", "talker.x", []string{"content"}
	c := s.open()
	c.do(wire.Request{Hello: &wire.Hello{Run: "r1", Intent: wire.Change}})
	c.check(u)
	c.apply(u)
	c.undo()
	c.bye()
	var told []wire.Progress
	for _, e := range c.events {
		if e.Progress != nil {
			told = append(told, *e.Progress)
		}
	}
	if len(told) != tellBurst+1 || told[0].Address != "talker.x" || !strings.HasPrefix(told[0].How, "compiled with (sensitive) 1 of 2…") ||
		len(told[0].How) > longestTold || strings.Contains(told[0].How, "\n") || told[tellBurst].How != "going back" {
		t.Errorf("told %q", told)
	}
	if b, _ := json.Marshal(told); strings.Contains(string(b), "pa55") {
		t.Errorf("a secret is told: %s", b)
	}
}
