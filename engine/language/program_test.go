package language

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"weft/engine/host"
)

const overlay = `
site = "lab"
lab "overlay" {
  image      = "debian-12"
  repository = ["openvswitch-switch", "ovn-host"]
  network "management" {
    cidr   = "10.127.1.0/24"
    access = true
  }
  network "underlay" {}
}
group "all" {
  ssh {
    user   = "root"
    become = false
  }
  vars = { mtu = 1442, rack = 0 }
}
group "racked" {
  hosts = ["ubuntu2"]
  roles = ["edge"]
  vars  = { rack = 1 }
  ssh {
    user = "weft"
    port = 2222
  }
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
  vars    = { underlay = "10.127.0.3", rack = 2 }
  ssh {
    identity_files = ["~/.ssh/lab"]
    port           = 22
  }
}
host "ubuntu3" {
  roles  = ["compute"]
  groups = ["racked", "spare"]
  vars   = { underlay = "10.127.0.4" }
}
`

const overlayPlay = `
variable "encap_type" { default = "geneve" }

play "chassis" {
  hosts        = role.compute
  serial       = 10
  max_failures = 1
  continue     = true
  on_failure   = "stop"
  description  = "all that compute"

  step "package" "openvswitch-switch" { tags = ["packages"] }
  step "ovn_chassis" "self" {
    remote     = [for h in role.central : "tcp:${h.vars.underlay}:6642"]
    encap_type = var.encap_type
    encap_ip   = host.vars.underlay
  }
}

play "gateway" {
  hosts = role.central[0]
  step "ovn_switch_port" "l2gw" {
    switch  = "ls1"
    tag     = 301
    options = { chassis = hosts["ubuntu2"].step.ovn_chassis.self.system_id }
  }
  step "file" "/etc/chassis" {
    content = join(",", sort([for h in role.compute : h.step.ovn_chassis.self.system_id]))
  }
  step "file" "/etc/kernels" {
    content = join(",", [for h in role.compute : h.facts.kernel])
    when    = host.facts.cpus > 1
  }
}
`

func TestInventory(t *testing.T) {
	p := load(t, map[string]string{"play.hcl": overlayPlay, "inv.hcl": overlay}, Inputs{})
	no := false
	want := []*Host{
		{
			Name: "ubuntu1", Address: "10.127.1.2", Groups: []string{"all"}, Roles: []string{"central"},
			SSH:  SSH{User: "root", Become: &no},
			NICs: []NIC{{Name: "eth0", Network: "management", Address: "10.127.1.2/24"}, {Name: "eth1", Network: "underlay"}},
		},
		{
			Name: "ubuntu2", Address: "10.127.1.3", Groups: []string{"all", "racked"}, Roles: []string{"compute", "edge"},
			SSH: SSH{User: "weft", Port: 22, Become: &no, IdentityFiles: []string{"~/.ssh/lab"}},
		},
		{
			Name: "ubuntu3", Address: "ubuntu3", Groups: []string{"all", "racked", "spare"}, Roles: []string{"compute", "edge"},
			SSH: SSH{User: "weft", Port: 2222, Become: &no},
		},
	}
	if !reflect.DeepEqual(p.Hosts, want) {
		got, _ := json.MarshalIndent(p.Hosts, "", " ")
		t.Errorf("hosts are %s", got)
	}
	lab := &Lab{
		Name: "overlay", Image: "debian-12", Repository: []string{"openvswitch-switch", "ovn-host"},
		Networks: []LabNetwork{{Name: "management", CIDR: "10.127.1.0/24", Access: true}, {Name: "underlay"}},
	}
	if !reflect.DeepEqual(p.Lab, lab) {
		t.Errorf("the lab is %+v", p.Lab)
	}
	if p.Site != "lab" {
		t.Errorf("the site is %q", p.Site)
	}
	play := p.Plays[0]
	if play.Serial != 10 || play.MaxFailures != 1 || !play.Continue || play.OnFailure != Stop || play.Description == "" ||
		!slices.Equal(play.Hosts, []string{"ubuntu2", "ubuntu3"}) {
		t.Errorf("the play is %+v", play)
	}
	wantStep := Step{Address: "package.openvswitch-switch", Kind: "package", Name: "openvswitch-switch", Tags: []string{"packages"}, File: "play.hcl", Line: 12}
	if !reflect.DeepEqual(play.Steps[0], wantStep) {
		t.Errorf("the step is %+v", play.Steps[0])
	}
}

func TestVarsOfGroups(t *testing.T) {
	p := load(t, map[string]string{
		"inv.hcl":  overlay,
		"play.hcl": "play \"p\" {\n hosts = \"all\"\n step \"file\" \"f\" { content = \"${host.vars.rack} ${host.vars.mtu}\" }\n}\n",
	}, Inputs{})
	for name, want := range map[string]string{"ubuntu1": "0 1442", "ubuntu2": "2 1442", "ubuntu3": "1 1442"} {
		units, _ := p.Units(p.Plays[0], name, Known{})
		if !strings.Contains(string(units[0].Spec), fmt.Sprintf("%q", want)) {
			t.Errorf("%s has %s, want %s", name, units[0].Spec, want)
		}
	}
}

func TestOutputsAndFactsOfOthers(t *testing.T) {
	p := load(t, map[string]string{"play.hcl": overlayPlay, "inv.hcl": overlay}, Inputs{})
	gateway := p.Plays[1]
	known := Known{
		Facts: func(h string) *host.Facts { return &host.Facts{Kernel: "6.1-" + h, CPUs: 2} },
		Outputs: func(h, address string) json.RawMessage {
			if h == "ubuntu3" || address != "ovn_chassis.self" {
				return nil
			}
			return json.RawMessage(`{"system_id":"id-` + h + `","more":1}`)
		},
	}
	units, ds := p.Units(gateway, "ubuntu1", known)
	want := `
		ovn_switch_port.l2gw {"name":"l2gw","switch":"ls1","tag":301,"options":{"chassis":"id-ubuntu2"}}
		file./etc/chassis {"path":"/etc/chassis","mode":"0644"} unknown=content
		file./etc/kernels {"path":"/etc/kernels","content":"6.1-ubuntu2,6.1-ubuntu3","mode":"0644"}`
	if got := trimLines(spell(units)); got != trimLines(want) || len(ds) > 0 {
		t.Errorf("got\n%s\n%s", got, plainText(ds))
	}
	wantReads := Reads{Facts: true, Others: []Read{
		{Host: "ubuntu1", Facts: true},
		{Host: "ubuntu2", Facts: true, Steps: []string{"ovn_chassis.self"}},
		{Host: "ubuntu3", Facts: true, Steps: []string{"ovn_chassis.self"}},
	}}
	if got := p.Reads(gateway, "ubuntu1"); !reflect.DeepEqual(got, wantReads) {
		t.Errorf("reads %+v", got)
	}
	if got := p.Reads(p.Plays[0], "ubuntu2"); got.Facts || got.Others != nil {
		t.Errorf("the first play reads %+v", got)
	}
}

func TestWhetherOutputsAreKnown(t *testing.T) {
	p := load(t, map[string]string{"play.hcl": `
play "chassis" {
  hosts = role.compute
  step "ovn_chassis" "self" {
    remote   = ["tcp:192.0.2.1:6642"]
    encap_ip = "192.0.2.2"
  }
}
play "sum" {
  hosts = role.central
  step "file" "/sum" { content = join(",", [for h in role.compute : hosts[h.name].step.ovn_chassis.self.system_id if hosts[h.name].step.ovn_chassis.self.known]) }
}
`, "inv.hcl": overlay}, Inputs{})
	said := map[string]string{"ubuntu2": `{"system_id":"two"}`}
	known := Known{Outputs: func(h, _ string) json.RawMessage {
		if said[h] == "" {
			return nil
		}
		return json.RawMessage(said[h])
	}}
	units, ds := p.Units(p.Plays[1], "ubuntu1", known)
	if len(ds) > 0 || !strings.Contains(spell(units), "unknown=content") {
		t.Errorf("ubuntu3 may still say it: %s\n%s", spell(units), plainText(ds))
	}
	known.Lost = func(h string) bool { return h == "ubuntu3" }
	units, ds = p.Units(p.Plays[1], "ubuntu1", known)
	if len(ds) > 0 || !strings.Contains(spell(units), `"content":"two"`) {
		t.Errorf("ubuntu3 is lost: %s\n%s", spell(units), plainText(ds))
	}
	said["ubuntu3"] = `{"system_id":"three"}` // before it was lost
	if units, _ = p.Units(p.Plays[1], "ubuntu1", known); !strings.Contains(spell(units), `"content":"two,three"`) {
		t.Errorf("ubuntu3 said it: %s", spell(units))
	}
}

func TestOutputsOfStepsAbove(t *testing.T) {
	p := load(t, inPlay(`
		step "package" "p" { when = host.facts.family == "debian" }
		step "file" "each" {
			for_each = { a = 1, b = 2 }
			path     = "/etc/${each.key}"
		}
		step "file" "one" { content = "v=${coalesce(step.package.p.version, "none")}" }
		step "file" "two" { content = step.file.each["a"].digest }
		step "file" "all" { content = join(",", [for k, s in step.file.each : "${k}=${s.digest}"]) }
		`), Inputs{})
	known := Known{
		Facts: func(string) *host.Facts { return &host.Facts{Family: "redhat"} },
		Outputs: func(_, address string) json.RawMessage {
			if strings.HasPrefix(address, "file.each") {
				return json.RawMessage(fmt.Sprintf(`{"digest":%q}`, address))
			}
			return nil
		},
	}
	evaluated, ds := p.Evaluate(p.Plays[0], "a", known)
	if len(ds) > 0 {
		t.Fatal(plainText(ds))
	}
	want := `
		file.each["a"] {"path":"/etc/a","mode":"0644"}
		file.each["b"] {"path":"/etc/b","mode":"0644"}
		file.one {"path":"one","content":"v=none","mode":"0644"}
		file.two {"path":"two","content":"file.each[\"a\"]","mode":"0644"}
		file.all {"path":"all","content":"a=file.each[\"a\"],b=file.each[\"b\"]","mode":"0644"}`
	if got := trimLines(spell(evaluated.Units)); got != trimLines(want) {
		t.Errorf("got\n%s", got)
	}
	if !reflect.DeepEqual(evaluated.Skipped, []Skip{{"package.p", ByWhen}}) {
		t.Errorf("skipped %v", evaluated.Skipped)
	}
}

func TestListsOfSteps(t *testing.T) {
	files := map[string]string{
		"inv.hcl": two,
		"play.hcl": `
include = ["lists/base.hcl"]
play "p" {
  hosts = "all"
  step "package" "early" {}
  use "service" "ssh" {
    unit    = "sshd"
    content = "v=${step.package.early.version}"
  }
  use "service" "web" {
    unit = host.vars.ip
    when = host.name == "a"
    tags = ["web"]
  }
  step "file" "f" { content = step.file["ssh/conf"].digest }
}`,
		"lists/base.hcl": `
steps "service" {
  param "unit"    { type = string }
  param "content" { default = null }
  use "conf" "inner" { text = "for ${param.unit}" }
  step "file" "conf" {
    path    = "/etc/${param.unit}.conf"
    content = param.content
    options = { text = file("text.txt") }
  }
  step "service" "it" {
    name       = param.unit
    restart_on = [step.file.conf]
  }
}
steps "conf" {
  param "text" {}
  step "file" "c" { content = param.text }
}`,
		"lists/text.txt": "beside the list",
	}
	p := load(t, files, Inputs{})
	units, ds := p.Units(p.Plays[0], "a", Known{})
	want := `
		package.early {"name":"early"}
		file.ssh/inner/c {"path":"c","content":"for sshd","mode":"0644"}
		file.ssh/conf {"path":"/etc/sshd.conf","mode":"0644","options":{"text":"beside the list"}} unknown=content
		service.ssh/it {"name":"sshd","restart_on":["file.ssh/conf"],"timeout":"10s"} triggers=file.ssh/conf
		file.web/inner/c {"path":"c","content":"for 10.0.0.1","mode":"0644"}
		file.web/conf {"path":"/etc/10.0.0.1.conf","mode":"0644","options":{"text":"beside the list"}}
		service.web/it {"name":"10.0.0.1","restart_on":["file.web/conf"],"timeout":"10s"} triggers=file.web/conf
		file.f {"path":"f","mode":"0644"} unknown=content`
	if got := trimLines(spell(units)); got != trimLines(want) || len(ds) > 0 {
		t.Errorf("got\n%s\n%s", got, plainText(ds))
	}
	b, _ := p.Evaluate(p.Plays[0], "b", Known{})
	if len(b.Units) != 5 || len(b.Skipped) != 3 {
		t.Errorf("b has %d units and %v", len(b.Units), b.Skipped)
	}
}

func TestTags(t *testing.T) {
	steps := `
		step "package" "a" { tags = ["x", "y"] }
		step "package" "b" { tags = ["y"] }
		step "package" "c" {}
		step "file" "f" {
			content = step.package.a.version
			tags    = ["y"]
		}`
	tests := []struct{ only, without, want string }{
		{"", "", "a b c f"}, {"x", "", "a"}, {"y", "x", "b f"}, {"", "y", "c"},
	}
	for _, tt := range tests {
		in := Inputs{Tags: strings.Fields(tt.only), SkipTags: strings.Fields(tt.without)}
		p := load(t, inPlay(steps), in)
		e, _ := p.Evaluate(p.Plays[0], "a", Known{})
		var names []string
		for _, u := range e.Units {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != tt.want || len(e.Units)+len(e.Skipped) != 4 {
			t.Errorf("tags %q, not %q: %s", tt.only, tt.without, got)
		}
	}
}

func TestSelect(t *testing.T) {
	p := load(t, map[string]string{"play.hcl": overlayPlay, "inv.hcl": overlay, "list.txt": "ubuntu1 # one\nubuntu3, !ubuntu1\n"}, Inputs{})
	tests := []struct{ limit, want, err string }{
		{"", "ubuntu1 ubuntu2 ubuntu3", ""},
		{"all", "ubuntu1 ubuntu2 ubuntu3", ""},
		{"ubuntu3,ubuntu1", "ubuntu1 ubuntu3", ""},
		{"compute", "ubuntu2 ubuntu3", ""},
		{"spare", "ubuntu3", ""},
		{"ubuntu[12]", "ubuntu1 ubuntu2", ""},
		{"!compute", "ubuntu1", ""},
		{"u*, !racked", "ubuntu1", ""},
		{"@list.txt", "ubuntu3", ""},
		{"ubunt2", "", `no host, group or role is called "ubunt2": did you mean "ubuntu2"?`},
		{"x*", "", `no host's name matches "x*"`},
		{"@none", "", "read the list of hosts: open none: no such file or directory"},
	}
	for _, tt := range tests {
		got, err := p.Select(tt.limit)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if strings.Join(got, " ") != tt.want || message != tt.err {
			t.Errorf("Select(%q) = %v, %v", tt.limit, got, err)
		}
	}
}

func TestHostList(t *testing.T) {
	play := "play \"p\" {\n hosts = \"all\"\n step \"file\" \"f\" { content = host.name }\n}\n"
	c, ds := Load(testKinds(), Sources{Playbook: "play.hcl", Inventories: []string{"a,2001:db8::1,"}, Read: fileTree(map[string]string{"play.hcl": play})})
	p, more := c.Bind(Inputs{})
	if ds := Join(ds, more, p.Validate()); len(ds) > 0 {
		t.Fatal(plainText(ds))
	}
	if !slices.Equal(p.Plays[0].Hosts, []string{"a", "2001:db8::1"}) || p.Site != "default" || p.Hosts[1].Address != "2001:db8::1" {
		t.Errorf("%v, site %q", p.Plays[0].Hosts, p.Site)
	}
}

// TestWithoutInventory is weft validate on a playbook alone.
func TestWithoutInventory(t *testing.T) {
	play := overlayPlay + `
play "wrong" {
  hosts = role.compute
  step "ovs_port" "p" {
    bridge = host.name
    tag    = [host.vars.rack]
    mac    = hosts["anything"].vars.mac
  }
}`
	_, ds := tryLoad(map[string]string{"play.hcl": play}, Inputs{Ask: LeaveUnknown})
	if len(ds) != 1 || ds[0].Summary != "tag must be a whole number" {
		t.Error(plainText(ds))
	}
}

func TestConcurrentUnits(t *testing.T) {
	p := load(t, fleet(20, 24), Inputs{})
	play := p.Plays[0]
	want := map[string]string{}
	for _, h := range play.Hosts {
		fresh := load(t, fleet(20, 24), Inputs{})
		units, _ := fresh.Units(fresh.Plays[0], h, Known{})
		want[h] = spell(units)
	}
	var workers sync.WaitGroup
	for range 4 {
		for _, h := range play.Hosts {
			workers.Go(func() {
				units, ds := p.Units(play, h, Known{Memo: &Memo{}})
				if got := spell(units); got != want[h] || len(ds) > 0 {
					t.Errorf("%s: got\n%s", h, got)
				}
			})
		}
	}
	workers.Wait()
}

func TestKeysOfOtherHosts(t *testing.T) {
	p := load(t, map[string]string{"inv.hcl": two, "play.hcl": `
play "p" {
  hosts = "all"
  step "file" "each" {
    for_each = { x = 1, y = 2 }
    path     = "/etc/${each.key}"
  }
}
play "q" {
  hosts = "a"
  step "file" "f" { content = "${hosts["b"].step.file.each["x"].digest} ${hosts["b"].step.file.each["y"].digest}" }
  step "file" "g" { content = join(",", keys(step.file.each)) }
}`}, Inputs{})
	known := Known{Outputs: func(h, address string) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"digest":%q}`, h+" "+address))
	}}
	units, ds := p.Units(p.Plays[1], "a", known)
	want := `
		file.f {"path":"f","content":"b file.each[\"x\"] b file.each[\"y\"]","mode":"0644"}
		file.g {"path":"g","content":"x,y","mode":"0644"}`
	if got := trimLines(spell(units)); got != trimLines(want) || len(ds) > 0 {
		t.Errorf("got\n%s\n%s", got, plainText(ds))
	}
}
