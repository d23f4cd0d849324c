package libvirt

import (
	"slices"
	"strings"
	"time"

	"weft/engine/host/xmltree"
	"weft/engine/step"
)

// DomainSpec is the attributes of a libvirt_domain.
type DomainSpec struct {
	Name      string            `json:"name,omitzero" weft:"label" doc:"Name of the domain."`
	XML       step.Attr[string] `json:"xml,omitzero" doc:"Its definition (https://libvirt.org/formatdomain.html), as far as it is managed: what libvirt adds, and what else is in the definition, stays. Of templatefile(), mostly. Each interface needs the address of its mac element."`
	Running   step.Attr[bool]   `json:"running,omitzero" doc:"Whether it runs. Left out, it is neither started nor shut down."`
	Autostart step.Attr[bool]   `json:"autostart,omitzero" doc:"Whether libvirtd starts it when the host boots."`
	Restart   bool              `json:"restart,omitzero" default:"false" doc:"Whether it is shut down and started again where it runs with other values than xml says. Else the plan names what waits for the next start."`
	Force     bool              `json:"force,omitzero" default:"false" doc:"Whether it is destroyed where its guest has not shut down in time, as if its plug was pulled."`
	Timeout   string            `json:"shutdown_timeout,omitzero" default:"2m" doc:"How long its guest may take to shut down once the power button was pressed."`
	Adopt     bool              `json:"adopt,omitzero" default:"false" doc:"Whether a domain that this step did not define may be managed, and removed."`
	State     step.State        `json:"state,omitzero" default:"present" doc:"Whether the domain should be there. Removing it shuts it down and leaves its disks and the variables of its firmware."`
}

// Outputs of a libvirt_domain.
type domainOutputs struct {
	UUID string `json:"uuid" doc:"The UUID of the domain."`
}

// domainState is a domain as the resource sees it: its definition by parts.
type domainState struct {
	Name      string          `json:"name" weft:"label"`
	Parts     parts           `json:"xml,omitzero"`
	Running   step.Attr[bool] `json:"running,omitzero"`
	Autostart step.Attr[bool] `json:"autostart,omitzero"`
	State     step.State      `json:"state,omitzero"`
	How       how             `json:"how,omitzero" weft:"found"`
	Skeleton  string          `json:"skeleton,omitzero" weft:"found"` // the definition that the paths of Parts come from
	Found     *domainFound    `json:"found,omitzero" weft:"found"`
}

// how is how a step works, and no part of the state.
type how struct {
	Restart bool          `json:"restart,omitzero"`
	Force   bool          `json:"force,omitzero"`
	Timeout time.Duration `json:"timeout,omitzero"`
	Adopt   bool          `json:"adopt,omitzero"`
}

// domainFound is a domain as it was read; its fields are empty where there was
// none. What is defined may hold passwords: it goes into the journal, which is
// root's, and nowhere else.
type domainFound struct {
	UUID    string `json:"uuid,omitzero"`
	Defined string `json:"defined,omitzero"`
	Active  bool   `json:"active,omitzero"`
	Live    parts  `json:"live,omitzero"` // where it is active
}

func domainKind() step.Kind {
	return step.Kind{
		Name:    "libvirt_domain",
		Summary: "A virtual machine of libvirt: its definition, whether it runs, whether it starts with the host.",
		Doc: `xml is compared by what it means with what libvirt has defined: another order, unit or spelling
is no difference, and what libvirt adds by itself (addresses, controllers, defaults) stays, as
does a network card that libvirt_interface or another hand added. What xml no longer names stays
too: a device is taken away by hand.

A change of the definition is in force at the next start. Where the domain runs, the plan says
what waits for it, and restart = true has weft do it: the power button is pressed every few
seconds until shutdown_timeout is over, and only force = true pulls the plug then.

The domain carries the step's owner in its metadata. A domain that this step did not define is
refused unless adopt = true. A domain without a definition (virsh create) is refused.

What rollback needs is in the journal on the host, with the passwords of the definition; the
journal is root's. Plans and logs show no passwd of a graphics element. A rollback of a definition leaves running what runs.`,
		Spec:    DomainSpec{},
		Outputs: domainOutputs{},
		Example: `step "libvirt_domain" "v0" {
  xml       = templatefile("guest.xml.tmpl", { name = "v0", mac = "52:54:00:00:00:10", memory = 512 })
  running   = true
  autostart = true
}`,
		Make: makeDomain,
	}
}

func makeDomain(u step.Unit) (step.Step, error) {
	spec, err := step.Decode[DomainSpec](u)
	if err != nil {
		return nil, err
	}
	o := ownerOf(u)
	timeout, _ := time.ParseDuration(spec.Timeout) // Validate has read it before
	want := domainState{
		Name: spec.Name, Running: spec.Running, Autostart: spec.Autostart, State: spec.State,
		How: how{Restart: spec.Restart, Force: spec.Force, Timeout: timeout, Adopt: spec.Adopt},
	}
	if text, given := spec.XML.Get(); given && spec.State.There() {
		n, err := xmltree.Parse(text)
		if err != nil {
			return nil, err
		}
		setName(n, spec.Name)
		setTag(n, o.tag)
		want.Skeleton, want.Parts = n.String(), named(n)
	}
	return step.Of("domain "+spec.Name, domains{o}, want), nil
}

// setName names a definition, first of all that is in it.
func setName(n *xmltree.Node, name string) {
	if n.At("name") == nil {
		n.Children = slices.Insert(n.Children, 0, &xmltree.Node{Name: "name"})
	}
	n.At("name").Text = name
}

// Validate finds what libvirt would refuse, or would take for another thing.
func (s *DomainSpec) Validate() []step.Problem {
	problems := validName(s.Name)
	if d, err := time.ParseDuration(s.Timeout); s.Timeout != "" && (err != nil || d < 0) {
		problems = append(problems, step.Problem{Path: "shutdown_timeout", Message: "is no length of time", Hint: `write it as "90s" or "2m"`})
	}
	if running, _ := s.Running.Get(); s.Restart && !running {
		problems = append(problems, step.Problem{Path: "restart", Message: "needs running = true"})
	}
	text, given := s.XML.Get()
	if !given {
		return problems
	}
	n, err := xmltree.Parse(text)
	if err != nil {
		return append(problems, step.Problem{Path: "xml", Message: "is no XML: " + err.Error()})
	}
	wrong := func(message, hint string) {
		problems = append(problems, step.Problem{Path: "xml", Message: message, Hint: hint})
	}
	if n.Name != "domain" {
		wrong("is a <"+n.Name+">, not a <domain>", "")
	}
	if name := n.At("name"); name != nil && name.Text != s.Name {
		wrong("names the domain "+name.Text+", the step "+s.Name, "leave <name> out, or give the step that name")
	}
	seen := map[string]bool{}
	for _, nic := range n.At("devices").All("interface") {
		mac := key(nic)
		if mac == "" {
			wrong("has an interface without a MAC", `add <mac address="52:54:00:…"/>: a network card is known by it in every run`)
		} else if seen[mac] {
			wrong("has two interfaces with the MAC "+mac, "")
		}
		seen[mac] = true
		if dev := nic.At("target").Get("dev"); strings.HasPrefix(dev, "vnet") {
			wrong("asks for the device "+dev, "libvirt numbers the vnet devices itself: leave <target> out, or give another name")
		}
	}
	return problems
}

// validName finds a name that libvirt refuses.
func validName(name string) []step.Problem {
	if name == "" || strings.ContainsAny(name, "/\n") || strings.TrimSpace(name) != name {
		return []step.Problem{{Path: "name", Message: "is no name that libvirt takes", Hint: "neither empty nor with a slash, a new line or spaces around it"}}
	}
	return nil
}
