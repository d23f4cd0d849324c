package row

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzRecord reads a row that a journal kept: undo writes it into a database,
// so what was read once reads the same for ever.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"_uuid":["uuid","11111111-1111-4111-8111-111111111111"],"name":"br0","ports":["set",[["uuid","x"]]],"other_config":["map",[["k","v"]]],"n":7}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var once, again Record
		if json.Unmarshal(text, &once) != nil {
			return
		}
		b, err := json.Marshal(once)
		if err != nil {
			t.Fatalf("%s cannot be written again: %v", text, err)
		}
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s became %s: %v", text, b, err)
		}
		// A set of one is its element after the first time, and nothing changes after that.
		twice, err := json.Marshal(again)
		if err != nil {
			t.Fatalf("%s cannot be written again: %v", b, err)
		}
		var last Record
		if err := json.Unmarshal(twice, &last); err != nil || !reflect.DeepEqual(last, again) {
			t.Fatalf("%s became %s, and then %s: %v", text, b, twice, err)
		}
		for _, column := range []string{"_uuid", "_version"} {
			if _, there := once.Insertable()[column]; there {
				t.Errorf("%s is inserted", column)
			}
		}
	})
}
