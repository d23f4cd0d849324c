package run

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/step"
	"weft/engine/wire"
)

// copied is a kind for tests: a file of another host.
type copied struct {
	Path   string     `json:"path" weft:"label" doc:"Path."`
	Host   string     `json:"host" weft:"required,host" doc:"Host."`
	Source string     `json:"source" weft:"required" doc:"Path there."`
	Sum    string     `json:"sum" weft:"required" doc:"sha256."`
	State  step.State `json:"state,omitzero" doc:"Whether it is there."`
}

type copies struct{}

func (copies) Read(ctx context.Context, v host.View, want copied) (copied, error) {
	have := want
	have.State, have.Sum = "", ""
	sum, err := host.Sum(ctx, v, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		have.State = step.Absent
		return have, nil
	}
	have.Sum = sum
	return have, err
}

func (copies) Diff(have, want copied) []step.Delta { return step.Compare(have, want) }

func (copies) Write(ctx context.Context, h host.Host, _, want copied) error {
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	f, err := h.Elsewhere.Fetch(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	return h.Files.Receive(ctx, want.Path, f, f.Size, want.Sum, host.Attributes{})
}

type copyStep struct {
	step.Step
	copied
}

func (c copyStep) Imports() step.Origin { return step.Origin{Host: c.Host, Path: c.Source} }

func copiedKind() step.Kind {
	return step.Kind{Name: "copied", Spec: copied{}, Make: func(u step.Unit) (step.Step, error) {
		s, err := step.Decode[copied](u)
		return copyStep{step.Of("copy "+s.Path, copies{}, s), s}, err
	}}
}

func sumOf(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// large does not divide into parts or windows.
var large = strings.Repeat("0123456789abcde\n", (wire.Window+5*wire.PartSize)/16) + "end"

// some is a file of some parts.
var some = large[:8*wire.PartSize+3]

// relayFleet has the file on host a.
func relayFleet(t testing.TB, content string) *fleet {
	f := newFleet(t)
	f.table["copied"] = copiedKind()
	f.machine("a").WriteFile("/srv/file", content)
	return f
}

// copying is a play that brings it to the others.
func copying(sum string) string {
	return fmt.Sprintf(`play "copy" {
		hosts = role.other
		step "copied" "/copy" {
			host   = "a"
			source = "/srv/file"
			sum    = %q
		}
	}`, sum)
}

// has fails where a host has another copy than that.
func (f *fleet) has(host, want string) {
	f.t.Helper()
	if got, ok := f.machine(host).File("/copy"); !ok && want != "" || got != want {
		f.t.Errorf("%s has a copy of %d bytes (%t), not one of %d", host, len(got), ok, len(want))
	}
}

// said is all that the events say, for people.
func (f *fleet) said() string {
	var b strings.Builder
	for _, e := range f.events {
		if b.WriteString(e.Host + ": " + e.Error + "\n"); e.Unit != nil {
			b.WriteString(e.Host + ": " + e.Unit.Error + "\n")
		}
	}
	return b.String()
}
