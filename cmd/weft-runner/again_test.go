package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weft/engine/wire"
)

func (s *session) helloFrom(controller, run string) *wire.HelloEvent {
	s.t.Helper()
	s.send(wire.Request{Hello: &wire.Hello{Run: run, Owner: "anna", Controller: controller, Intent: wire.Change}})
	for _, e := range s.read(done) {
		if e.Hello != nil {
			return e.Hello
		}
	}
	s.t.Fatal("no hello")
	return nil
}

// A controller whose connection broke takes its own place again at once, after
// the effect in flight; nobody else does.
func TestTheSameRunComesAgain(t *testing.T) {
	m := newMachine(t)
	a := m.install(buildA)
	dir := t.TempDir()
	began, goOn, ended := filepath.Join(dir, "began"), filepath.Join(dir, "go"), filepath.Join(dir, "ended")
	tool := filepath.Join(dir, "tool")
	script := fmt.Sprintf("#!/bin/sh\ntouch %s\nwhile ! test -e %s; do sleep 0.01; done\ntouch %s\n", began, goOn, ended)
	if err := os.WriteFile(tool, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	first := m.serve(a)
	first.helloFrom("c1", "r1")
	motd := filepath.Join(dir, "motd")
	first.send(apply(
		unit("file", "motd", map[string]any{"path": motd, "content": "after"}),
		unit("command", "tool", map[string]any{"argv": []string{tool}, "creates": ended, "undo": []string{"rm", "-f", ended}}),
	))
	eventually(t, func() bool { _, err := os.Stat(began); return err == nil })

	other := m.serve(a)
	if h := other.helloFrom("c2", "r1"); h.Holder == nil || h.Holder.Run != "r1" {
		t.Errorf("another controller with the same run was told %+v", h)
	}
	other.bye()

	second := m.serve(a)
	second.send(wire.Request{Hello: &wire.Hello{Run: "r1", Owner: "anna", Controller: "c1", Intent: wire.Change}})
	write(t, goOn, "")
	var hello *wire.HelloEvent
	for _, e := range second.read(done) {
		if e.Hello != nil {
			hello = e.Hello
		}
	}
	if hello == nil || hello.Holder != nil || hello.TookOver != nil || len(hello.Changed) != 2 {
		t.Fatalf("the same controller was told %+v", hello)
	}
	if err := first.cmd.Wait(); err == nil {
		t.Error("the session that was replaced ended as if it had been told goodbye")
	}
	if _, err := os.Stat(ended); err != nil {
		t.Error("the effect in flight was not finished")
	}
	if got := second.do(wire.Request{UndoPlay: &wire.UndoPlay{Play: "p"}}); got != "command.tool undone, file.motd undone" {
		t.Errorf("undo: %s", got)
	}
	second.bye()
}
