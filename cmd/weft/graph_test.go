package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/engine/control/graph"
	"weft/modules"
)

// A picture reads attributes of kinds by their names, which nothing but this
// holds together.
func TestGraphKnowsTheKinds(t *testing.T) {
	table := modules.Kinds()
	for kind, names := range graph.Attributes() {
		k, ok := table[kind]
		if !ok {
			t.Errorf("there is no kind %s", kind)
			continue
		}
		spec := reflect.TypeOf(k.Spec)
		for _, name := range names {
			if !slices.ContainsFunc(reflect.VisibleFields(spec), func(f reflect.StructField) bool {
				own, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				return own == name
			}) {
				t.Errorf("%s has no attribute %s", kind, name)
			}
		}
	}
}
