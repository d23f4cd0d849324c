package step_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"weft/engine/step"
)

type inner struct {
	X step.Attr[int]    `json:"x,omitzero"`
	Y step.Attr[string] `json:"y,omitzero" weft:"secret"`
}

type things struct {
	Name    string                       `json:"name" weft:"label"`
	Plain   int                          `json:"plain" default:"7" doc:"A number."`
	Word    step.Attr[string]            `json:"word,omitzero" weft:"enum=a|b"`
	Pass    step.Attr[string]            `json:"pass,omitzero" weft:"secret"`
	List    []string                     `json:"list,omitzero"`
	Set     []string                     `json:"set,omitzero" weft:"set"`
	Map     map[string]step.Attr[string] `json:"map,omitzero"`
	In      inner                        `json:"in,omitzero"`
	Ref     []string                     `json:"ref,omitzero" weft:"ref"`
	Trigger []string                     `json:"trigger,omitzero" weft:"trigger"`
	Found   string                       `json:"found,omitzero" weft:"found"`
	State   step.State                   `json:"state,omitzero"`
	Skipped int                          `json:"-"`
}

// line is a delta as text.
func line(deltas []step.Delta) string {
	var out []string
	for _, d := range deltas {
		s := fmt.Sprintf("%s %s>%s", d.Path, d.From, d.To)
		if d.Secret {
			s += " secret"
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestCompare(t *testing.T) {
	is, none := step.Is[string], step.None[string]
	type m = map[string]step.Attr[string]
	for _, tt := range []struct {
		name       string
		have, want things
		deltas     string
	}{
		{"unmanaged", things{Word: is("a"), List: []string{"x"}, Map: m{"k": is("v")}}, things{}, ""},
		{"equal", things{Plain: 1, Word: is("a")}, things{Plain: 1, Word: is("a")}, ""},
		{"plain", things{Plain: 1}, things{Plain: 2}, "plain 1>2"},
		{"value", things{Word: is("a")}, things{Word: is("b")}, `word "a">"b"`},
		{"was absent", things{Word: none()}, things{Word: is("b")}, `word >"b"`},
		{"to absent", things{Word: is("a")}, things{Word: none()}, `word "a">`},
		{"both absent", things{Word: none()}, things{Word: none()}, ""},
		{"secret", things{Pass: is("a")}, things{Pass: is("b")}, `pass "a">"b" secret`},
		{"secret inside", things{}, things{In: inner{Y: is("b")}}, `in.y >"b" secret`},
		{"inside", things{In: inner{X: step.Is(1)}}, things{In: inner{X: step.Is(2)}}, "in.x 1>2"},
		{"list order", things{List: []string{"a", "b"}}, things{List: []string{"b", "a"}}, `list ["a","b"]>["b","a"]`},
		{"list emptied", things{List: []string{"a"}}, things{List: []string{}}, `list ["a"]>`},
		{"list filled", things{}, things{List: []string{"a"}}, `list >["a"]`},
		{"list empty", things{}, things{List: []string{}}, ""},
		{"set order", things{Set: []string{"a", "b"}}, things{Set: []string{"b", "a"}}, ""},
		{"set", things{Set: []string{"a", "b"}}, things{Set: []string{"b", "c"}}, `set ["a","b"]>["b","c"]`},
		{"keys", things{Map: m{"a": is("1"), "z": is("9")}}, things{Map: m{"b": is("2"), "a": none()}}, `map.a "1">; map.b >"2"`},
		{"never compared", things{Name: "a", Found: "x"}, things{Name: "b", Ref: []string{"r"}, Trigger: []string{"t"}}, ""},
		{"removal", things{Plain: 1}, things{State: step.Absent}, `state "present">`},
		{"gone already", things{State: step.Absent}, things{State: step.Absent, Plain: 3}, ""},
		{"creation", things{State: step.Absent, Plain: 5}, things{State: step.Present, Plain: 7, Word: is("a"), Pass: none()}, `state >"present"; plain >7; word >"a"`},
	} {
		if got := line(step.Compare(tt.have, tt.want)); got != tt.deltas {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.deltas)
		}
	}
}

func TestAttrInJSON(t *testing.T) {
	for _, tt := range []struct {
		attr step.Attr[string]
		json string
	}{
		{step.Attr[string]{}, `{}`},
		{step.None[string](), `{"word":null}`},
		{step.Is(""), `{"word":""}`},
		{step.Is("x"), `{"word":"x"}`},
	} {
		type holder struct {
			Word step.Attr[string] `json:"word,omitzero"`
		}
		b, err := json.Marshal(holder{tt.attr})
		if err != nil || string(b) != tt.json {
			t.Errorf("%+v is %s, %v; want %s", tt.attr, b, err, tt.json)
		}
		var back holder
		if err := json.Unmarshal(b, &back); err != nil || back.Word != tt.attr {
			t.Errorf("%s is %+v, %v", b, back.Word, err)
		}
	}
	if a := step.None[int](); !a.Managed() || !a.Absent() || a.IsZero() || a.Or(3) != 3 {
		t.Errorf("absent is managed and without a value: %+v", a)
	}
}

func TestFieldOf(t *testing.T) {
	typ := reflect.TypeFor[things]()
	field := func(name string) step.Field {
		f, ok := typ.FieldByName(name)
		if !ok {
			t.Fatal(name)
		}
		return step.FieldOf(f)
	}
	if f := field("Plain"); f.Name != "plain" || f.Default != "7" || f.Doc != "A number." || f.Enum() != nil {
		t.Errorf("%+v", f)
	}
	if f := field("Word"); !reflect.DeepEqual(f.Enum(), []string{"a", "b"}) || f.Has("set") {
		t.Errorf("%+v", f)
	}
	if f := field("State"); !reflect.DeepEqual(f.Enum(), []string{"present", "absent"}) {
		t.Errorf("%v", f.Enum())
	}
	if f := field("Skipped"); f.Name != "" {
		t.Errorf("a field without a name is no attribute: %+v", f)
	}
}

func TestDigest(t *testing.T) {
	a := step.Finding{Object: "x", Deltas: []step.Delta{step.Change("p", 1, 2)}}
	b := a
	b.Warnings, b.Before = []string{"w"}, []byte("{}")
	if a.Digest() != b.Digest() {
		t.Error("warnings and records are no part of it")
	}
	b.Deltas = []step.Delta{step.Change("p", 1, 3)}
	if a.Digest() == b.Digest() {
		t.Error("values are part of it")
	}
	one, two := step.Change("p", "s", "t"), step.Change("p", "u", "v")
	one.Secret, two.Secret = true, true
	if (step.Finding{Deltas: []step.Delta{one}}).Digest() != (step.Finding{Deltas: []step.Delta{two}}).Digest() {
		t.Error("secret values are not part of it")
	}
	if one.From == nil {
		t.Error("the digest changed the finding")
	}
}

func TestDecode(t *testing.T) {
	if _, err := step.Decode[inner](step.Unit{Address: "k.n", Spec: []byte(`{"x":1,"z":2}`)}); err == nil || !strings.Contains(err.Error(), "k.n") {
		t.Errorf("an unknown field: %v", err)
	}
	s, err := step.Decode[inner](step.Unit{Spec: []byte(`{"x":1}`)})
	if v, ok := s.X.Get(); err != nil || !ok || v != 1 || s.Y.Managed() {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestTable(t *testing.T) {
	k := step.Kind{Name: "k", Make: func(step.Unit) (step.Step, error) { return nil, nil }}
	if table := step.NewTable([]step.Kind{k}); table["k"].Name != "k" {
		t.Errorf("%v", table)
	}
	for name, families := range map[string][][]step.Kind{
		"twice":   {{k}, {k}},
		"neither": {{{Name: "n"}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			step.NewTable(families...)
		}()
	}
}

func TestProbeError(t *testing.T) {
	e := &step.ProbeError{Wanted: "an answer", Seen: "none", Hint: "look at the link"}
	if e.Error() != "wanted an answer, saw none (look at the link)" {
		t.Error(e)
	}
}
