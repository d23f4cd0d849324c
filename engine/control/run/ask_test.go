package run

import (
	"context"
	"slices"
	"testing"

	"weft/engine/host/row"
	"weft/engine/wire"
)

// Questions of several rounds go over one session, and answers belong to their
// questions however many events they come in.
func TestAsk(t *testing.T) {
	f := newFleet(t)
	greetings := 0
	script := &scripted{
		hello: func(string, *wire.Hello) *wire.HelloEvent { greetings++; return &wire.HelloEvent{} },
		reach: func(host string, _ way) error {
			if host == "c" {
				return &UnreachableError{Says: "nobody there"}
			}
			return nil
		},
		answer: func(host string, q wire.Request) ([]wire.Event, error) {
			switch {
			case q.Ask == nil:
				return nil, nil
			case q.Ask.Rows != nil:
				part := wire.Event{Answer: &wire.Answer{Rows: []row.Record{{"name": host}}}}
				return []wire.Event{part, part}, nil
			}
			return []wire.Event{{Answer: &wire.Answer{Text: host + q.Ask.Query[0]}}}, nil
		},
	}
	r := New(f.program(""), script, wire.Look, f.options())
	defer r.Close()
	rows, query := wire.Ask{Rows: &wire.Rows{Table: "Chassis"}}, func(name string) wire.Ask { return wire.Ask{Query: []string{name}} }
	first := r.Ask(context.Background(), map[string][]wire.Ask{"a": {rows, query("x")}, "c": {query("x")}})
	if a := first["a"]; len(a) != 2 || len(a[0].Rows) != 2 || a[1].Text != "ax" || len(first) != 1 {
		t.Errorf("first %+v", first)
	}
	second := r.Ask(context.Background(), map[string][]wire.Ask{"a": {query("y"), query("z")}, "b": {query("y")}, "c": {query("y")}})
	if a := second["a"]; len(a) != 2 || a[0].Text != "ay" || a[1].Text != "az" || second["b"][0].Text != "by" || len(second) != 2 {
		t.Errorf("second %+v", second)
	}
	if greetings != 2 {
		t.Errorf("%d greetings of two hosts", greetings)
	}
	if began := slices.DeleteFunc(slices.Clone(f.events), func(e Event) bool { return e.Type != RunBegan }); len(began) != 1 {
		t.Errorf("the run began %d times", len(began))
	}
	if exit := r.Recap(context.Background()).Exit; exit != NoContact {
		t.Errorf("status %d", exit)
	}
}
