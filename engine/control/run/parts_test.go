package run

import (
	"slices"
	"testing"

	"weft/engine/language"
	"weft/engine/step"
)

func TestAHostHearsOfNoSecretButItsOwn(t *testing.T) {
	r := &Run{program: &language.Program{Secrets: []string{"", "p4ss", "elsewhere", "whole", "4"}}}
	units := []step.Unit{
		{Address: "file.a", Secret: []string{"content"}, Spec: []byte(`{"content":"user:p4ss@db","lines":["x",{"k":"whole"}]}`)},
		{Address: "file.b", Spec: []byte(`{"content":"p4ss is no secret here"}`)},
		{Address: "file.c", Secret: []string{"content"}},
	}
	r.withParts(units)
	for i, want := range [][]string{{"p4ss", "4"}, nil, nil} {
		if !slices.Equal(units[i].Parts, want) {
			t.Errorf("%s has the parts %q, want %q", units[i].Address, units[i].Parts, want)
		}
	}
}
