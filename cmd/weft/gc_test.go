package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"weft/engine/language"
)

// TestGuestsOfHostsThatWereAsked: what gc knows of guests leaves out hosts that
// were lost and those whose libvirtd said nothing, but not that they may have
// guests; and it waits for those that may still tell.
func TestGuestsOfHostsThatWereAsked(t *testing.T) {
	const a, nothing = `{"uuids":["a"]}`, `{"uuids":null}`
	for _, c := range []struct {
		name        string
		outputs     map[string]string // of libvirt_domains; none where the host did not tell
		lost        string
		hypervisors string
		want        string // empty where it is not known yet
	}{
		{"both told", map[string]string{"ubuntu2": a, "ubuntu3": `{"uuids":[]}`}, "", "", `{"ubuntu2":["a"],"ubuntu3":[]}`},
		{"one was lost", map[string]string{"ubuntu2": a}, "ubuntu3", "", `{"ubuntu2":["a"]}`},
		{"one has no libvirtd", map[string]string{"ubuntu2": a, "ubuntu3": nothing}, "", "", `{"ubuntu2":["a"]}`},
		{"none has libvirtd", map[string]string{"ubuntu2": nothing, "ubuntu3": nothing}, "", "", `{}`},
		{"one may still tell", map[string]string{"ubuntu2": a}, "", "", ""},
		{"one has no guests", map[string]string{"ubuntu2": a, "ubuntu3": nothing}, "", `hypervisors=["ubuntu2"]`, `{"ubuntu2":["a"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var errs bytes.Buffer
			s := streams{in: strings.NewReader(""), out: io.Discard, err: &errs, environment: func(string) (string, bool) { return "", false }}
			f := flags{inventories: []string{"../../inventories/lab.hcl"}}
			if c.hypervisors != "" {
				f.vars = []string{c.hypervisors}
			}
			p, err := load(t.Context(), s, &f, gcPlaybook, builtIn(inputs{read: os.ReadFile, environment: s.environment}))
			if err != nil {
				t.Fatal(err, errs.String())
			}
			last := p.Plays[len(p.Plays)-1]
			units, diags := p.Units(last, "ubuntu1", language.Known{
				Outputs: func(host, _ string) json.RawMessage {
					if o, told := c.outputs[host]; told {
						return json.RawMessage(o)
					}
					return nil
				},
				Lost: func(host string) bool { return host == c.lost },
			})
			if diags.Failed() || len(units) != 1 || units[0].Kind != "ovn_stale_ports" {
				t.Fatalf("units are %v, %v", units, diags)
			}
			var spec struct{ Hosts, Guests json.RawMessage }
			if err := json.Unmarshal(units[0].Spec, &spec); err != nil || string(spec.Guests) != c.want && c.want != "" || (c.want == "") != (len(units[0].Unknown) > 0) {
				t.Errorf("%v: guests are %s (unknown: %q), want %s", err, spec.Guests, units[0].Unknown, c.want)
			}
			hosts := `["ubuntu2","ubuntu3"]`
			if c.hypervisors != "" {
				hosts = `["ubuntu2"]`
			}
			if string(spec.Hosts) != hosts {
				t.Errorf("hosts are %s, want %s", spec.Hosts, hosts)
			}
		})
	}
}
