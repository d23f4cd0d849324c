package modules_test

import (
	"os"
	"path/filepath"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/language"
	"weft/engine/onhost/killtest"
	"weft/engine/step"
	"weft/modules"
)

// TestKilledWithinS1 walks what scenario S1 does to a host, from a bare Debian,
// killed at every effect: the playbook and the inventory are those of the lab.
func TestKilledWithinS1(t *testing.T) {
	config, diags := language.Load(modules.Kinds(), language.Sources{
		Playbook: "playbooks/ovn-l2-overlay.hcl", Inventories: []string{"inventories/lab.hcl"},
		Read: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join("..", path)) },
	})
	if diags.Failed() {
		t.Fatal(diags)
	}
	program, diags := config.Bind(language.Inputs{Environment: func(string) (string, bool) { return "", false }})
	if diags.Failed() {
		t.Fatal(diags)
	}
	var scenes []killtest.Scene
	for _, name := range []string{"ubuntu1", "ubuntu2"} {
		var units []step.Unit
		for _, play := range program.Plays {
			for _, of := range play.Hosts {
				if of != name {
					continue
				}
				all, diags := program.Units(play, name, language.Known{})
				if diags.Failed() {
					t.Fatal(diags)
				}
				for _, u := range all {
					if modules.Kinds()[u.Kind].Probe == nil { // nobody answers here
						units = append(units, u)
					}
				}
			}
		}
		scenes = append(scenes, killtest.Scene{
			Name: name, Table: modules.Kinds(), Machine: bare, Units: units,
			Drift: func(m *fake.Machine) { m.Remove("/etc/network/interfaces.d/weft-bridge-br-phy") },
		})
	}
	killtest.Walk(t, scenes...)
}
