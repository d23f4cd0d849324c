package modules_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"weft/engine/host/fake"
	"weft/engine/language"
	"weft/engine/onhost/killtest"
	"weft/engine/step"
	"weft/modules"
)

// bound is a playbook with an inventory.
func bound(t *testing.T, playbook, inventory string) *language.Program {
	t.Helper()
	config, diags := language.Load(modules.Kinds(), language.Sources{
		Playbook: playbook, Inventories: []string{inventory},
		Read: func(path string) ([]byte, error) { return os.ReadFile(filepath.Join("..", path)) },
	})
	if diags.Failed() {
		t.Fatal(diags)
	}
	program, diags := config.Bind(language.Inputs{Environment: func(string) (string, bool) { return "", false }})
	if diags.Failed() {
		t.Fatal(diags)
	}
	return program
}

// TestOptionsRestartTheSwitch: what ovs-ctl is told is in force once ovs-vswitchd
// was started anew.
func TestOptionsRestartTheSwitch(t *testing.T) {
	for inventory, want := range map[string][]string{
		"inventories/ovs-dpdk.hcl": {"file.self/ovs-ctl"}, "inventories/ovs-dpdk-vm.hcl": nil, // which has no options
	} {
		program := bound(t, "playbooks/ovs-dpdk-hypervisor.hcl", inventory)
		services := 0
		for _, play := range program.Plays {
			for _, name := range play.Hosts {
				units, diags := program.Units(play, name, language.Known{})
				if diags.Failed() {
					t.Fatal(diags)
				}
				for _, u := range units {
					if u.Address != "service.self/ovs-vswitchd" {
						continue
					}
					services++
					if !slices.Equal(u.Triggers, want) {
						t.Errorf("%s: on %s it is restarted by %v, want %v", inventory, name, u.Triggers, want)
					}
				}
			}
		}
		if services == 0 {
			t.Errorf("%s: no host has it", inventory)
		}
	}
}

// TestKilledWithinS1 walks what scenario S1 does to a host, from a bare Debian,
// killed at every effect: the playbook and the inventory are those of the lab.
func TestKilledWithinS1(t *testing.T) {
	program := bound(t, "playbooks/ovn-l2-overlay.hcl", "inventories/lab.hcl")
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
