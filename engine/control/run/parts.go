package run

import (
	"encoding/json"
	"slices"
	"strings"

	"weft/engine/step"
)

// withParts tells a unit with sensitive attributes which of the run's secrets
// they are made of. A host hears of no other: what one host is given is not for
// the next.
func (r *Run) withParts(units []step.Unit) {
	for i, u := range units {
		if len(u.Secret) == 0 || len(u.Spec) == 0 {
			continue
		}
		var spec any
		if err := json.Unmarshal(u.Spec, &spec); err != nil {
			panic("run: a spec that is no JSON: " + err.Error())
		}
		texts := stringsIn(spec, nil)
		for _, secret := range r.program.Secrets {
			if secret != "" && slices.ContainsFunc(texts, func(t string) bool { return t != secret && strings.Contains(t, secret) }) {
				units[i].Parts = append(units[i].Parts, secret)
			}
		}
	}
}

// stringsIn adds the strings of a JSON value to all.
func stringsIn(value any, all []string) []string {
	switch v := value.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, e := range v {
			all = stringsIn(e, all)
		}
	case map[string]any:
		for _, e := range v {
			all = stringsIn(e, all)
		}
	}
	return all
}
