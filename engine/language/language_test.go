package language

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"weft/engine/step"
)

// fileTree is a Sources.Read that knows these files alone.
func fileTree(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("no such file or directory")}
	}
}

// load makes a program of a playbook and an inventory, or fails the test.
func load(t *testing.T, files map[string]string, in Inputs) *Program {
	t.Helper()
	p, ds := tryLoad(files, in)
	if ds.Failed() {
		t.Fatalf("mistakes where there should be none:\n%s", plainText(ds))
	}
	return p
}

func tryLoad(files map[string]string, in Inputs) (*Program, Diagnostics) {
	src := Sources{Read: fileTree(files)}
	if _, ok := files["play.hcl"]; ok {
		src.Playbook = "play.hcl"
	}
	if _, ok := files["inv.hcl"]; ok {
		src.Inventories = []string{"inv.hcl"}
	}
	if in.Environment == nil {
		in.Environment = func(string) (string, bool) { return "", false }
	}
	c, ds := Load(testKinds(), src)
	p, more := c.Bind(in)
	return p, Join(ds, more, p.Validate())
}

func plainText(ds Diagnostics) string {
	var b strings.Builder
	if err := ds.WriteText(&b, Style{}); err != nil {
		panic(err)
	}
	return b.String()
}

func unitsJSON(t *testing.T, units []step.Unit) string {
	t.Helper()
	b, err := json.MarshalIndent(units, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const overlay = `
site = "lab"
lab "overlay" {
  image      = "debian-12"
  repository = ["openvswitch-switch"]
  network "management" {
    cidr   = "10.127.1.0/24"
    access = true
  }
  network "underlay" {}
}
group "all" {
  ssh { user = "root" }
}
host "ubuntu1" {
  address = "10.127.1.2"
  roles   = ["central"]
  vars    = { underlay = "10.127.0.2" }
  nic "eth0" {
    network = "management"
    address = "10.127.1.2/24"
  }
  nic "eth1" { network = "underlay" }
}
host "ubuntu2" {
  address = "10.127.1.3"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.3" }
}
host "ubuntu3" {
  address = "10.127.1.4"
  roles   = ["compute"]
  vars    = { underlay = "10.127.0.4" }
}
`

const overlayPlay = `
variable "encap_type" { default = "geneve" }

play "chassis" {
  hosts  = role.compute
  serial = 10

  step "package" "openvswitch-switch" {}
  step "ovn_chassis" "self" {
    remote     = [for h in role.central : "tcp:${h.vars.underlay}:6642"]
    encap_type = var.encap_type
    encap_ip   = host.vars.underlay
  }
  step "service" "ovn-controller" {
    running    = true
    restart_on = [step.package.openvswitch-switch]
  }
}

play "gateway" {
  hosts = role.central[0]
  step "ovn_switch_port" "l2gw" {
    switch  = "ls1"
    type    = "l2gateway"
    tag     = 301
    options = {
      network_name      = "physnet301"
      l2gateway-chassis = hosts["ubuntu2"].step.ovn_chassis.self.system_id
    }
  }
}
`

func TestOverlay(t *testing.T) {
	p := load(t, map[string]string{"play.hcl": overlayPlay, "inv.hcl": overlay}, Inputs{})
	units, ds := p.Units(p.Plays[0], "ubuntu2", Known{})
	if len(ds) > 0 {
		t.Fatal(plainText(ds))
	}
	t.Log(unitsJSON(t, units))
	units, _ = p.Units(p.Plays[1], "ubuntu1", Known{})
	t.Log(unitsJSON(t, units))
	units, _ = p.Units(p.Plays[1], "ubuntu1", Known{Outputs: func(h, a string) json.RawMessage { return json.RawMessage(`{"system_id":"u2"}`) }})
	t.Log(unitsJSON(t, units))
	t.Logf("%+v", p.Reads(p.Plays[1], "ubuntu1"))
}
