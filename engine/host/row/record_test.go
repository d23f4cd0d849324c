package row

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"
)

func TestRecordSurvivesAJournal(t *testing.T) {
	r := Record{
		"_uuid": ovsdb.UUID{GoUUID: "36bef046-7da7-43a5-905a-c17899216fcb"}, "_version": ovsdb.UUID{GoUUID: "0f1e2d3c-7da7-43a5-905a-c17899216fcb"},
		"name": "ls1", "tag": Optional(301), "enabled": Empty(), "cfg": 1 << 40, "up": true,
		"addresses": Set("unknown", "dynamic"), "external_ids": Strmap(map[string]string{"a": "1"}),
		"ports": UUIDs("36bef046-7da7-43a5-905a-c17899216fcb", "0f1e2d3c-7da7-43a5-905a-c17899216fcb"),
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	r["tag"] = 301 // a set of one comes back as its element
	if !reflect.DeepEqual(r, back) {
		t.Errorf("got  %#v\nwant %#v", back, r)
	}
	in := back.Insertable("ports")
	for _, gone := range []string{"_uuid", "_version", "ports"} {
		if _, there := in[gone]; there {
			t.Errorf("an insert must not hold %s", gone)
		}
	}
	if in["name"] != "ls1" || back["ports"] == nil {
		t.Error("Insertable must keep the rest, and the record as it is")
	}
}

func TestRecordRefusesWhatIsNoRow(t *testing.T) {
	for _, text := range []string{`{"a":{}}`, `{"a":["set",1]}`, `7`, `[]`, `null`} {
		var r Record
		if err := json.Unmarshal([]byte(text), &r); err == nil && r != nil {
			t.Errorf("%s was read as a row: %v", text, r)
		}
	}
}
