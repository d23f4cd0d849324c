package language

import (
	"strings"

	"weft/engine/step"
)

// The kinds of these tests look like real ones; nothing is ever made of them.

type packageSpec struct {
	Name    string            `json:"name" weft:"label"`
	Version step.Attr[string] `json:"version,omitzero"`
	State   step.State        `json:"state,omitzero"`
}

type packageOutputs struct {
	Version string `json:"version"`
}

type probeSpec struct {
	Name string `json:"name" weft:"label"`
}

type fileSpec struct {
	Path    string                       `json:"path" weft:"label"`
	Content step.Attr[string]            `json:"content,omitzero"`
	Mode    string                       `json:"mode,omitzero" default:"0644"`
	Owner   string                       `json:"owner,omitzero" weft:"enum=root|nobody"`
	Lines   []lineSpec                   `json:"lines,omitzero"`
	Limit   step.Attr[int]               `json:"limit,omitzero"`
	Options map[string]step.Attr[string] `json:"options,omitzero"`
}

type lineSpec struct {
	Match string `json:"match" weft:"required"`
	Text  string `json:"text,omitzero"`
	Keep  bool   `json:"keep,omitzero"`
}

type fileOutputs struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

type serviceSpec struct {
	Name      string          `json:"name" weft:"label"`
	Running   step.Attr[bool] `json:"running,omitzero"`
	RestartOn []string        `json:"restart_on,omitzero" weft:"trigger"`
	Timeout   string          `json:"timeout,omitzero" default:"10s"`
}

type portSpec struct {
	Name    string                       `json:"name" weft:"label"`
	Bridge  string                       `json:"bridge" weft:"required"`
	Tag     step.Attr[int]               `json:"tag,omitzero"`
	Trunks  step.Attr[[]int]             `json:"trunks,omitzero" weft:"set"`
	MAC     step.Attr[string]            `json:"mac,omitzero"`
	Options map[string]step.Attr[string] `json:"options,omitzero"`
}

func (p *portSpec) Validate() []step.Problem {
	if mac, ok := p.MAC.Get(); ok && strings.Count(mac, ":") != 5 {
		return []step.Problem{{Path: "mac", Message: mac + " is not an Ethernet address", Hint: "write it as 02:00:00:00:00:01"}}
	}
	return nil
}

type chassisSpec struct {
	Name      string            `json:"name" weft:"label"`
	Remote    []string          `json:"remote" weft:"required"`
	EncapType string            `json:"encap_type,omitzero" weft:"enum=geneve|vxlan|stt"`
	EncapIP   string            `json:"encap_ip" weft:"required"`
	Password  step.Attr[string] `json:"password,omitzero" weft:"secret"`
}

type chassisOutputs struct {
	SystemID string `json:"system_id"`
}

type switchPortSpec struct {
	Name    string                       `json:"name" weft:"label"`
	Switch  string                       `json:"switch" weft:"required"`
	Type    string                       `json:"type,omitzero"`
	Tag     step.Attr[int]               `json:"tag,omitzero"`
	Options map[string]step.Attr[string] `json:"options,omitzero"`
}

type copySpec struct {
	Path string `json:"path" weft:"label"`
	Host string `json:"host" weft:"required,host"`
	Sum  string `json:"sum" weft:"required"`
}

func (*copySpec) Early() {}

func (c *copySpec) Validate() []step.Problem {
	var all []step.Problem
	if !strings.HasPrefix(c.Path, "/") {
		all = append(all, step.Problem{Path: "path", Message: "is not absolute"})
	}
	if len(c.Sum) != 3 {
		all = append(all, step.Problem{Path: "sum", Message: "is no sum"})
	}
	return all
}

func made(step.Unit) (step.Step, error) { panic("no step of these tests runs") }

func testKinds() step.Table {
	return step.NewTable([]step.Kind{
		{Name: "package", Spec: packageSpec{}, Outputs: packageOutputs{}, Make: made},
		{Name: "file", Spec: fileSpec{}, Outputs: fileOutputs{}, Make: made},
		{Name: "copy", Spec: copySpec{}, Make: made},
		{Name: "probe", Spec: probeSpec{}, Probe: func(step.Unit) (step.Prober, error) { panic("no probe of these tests runs") }},
		{Name: "service", Spec: serviceSpec{}, Make: made},
		{Name: "ovs_port", Spec: portSpec{}, Make: made},
		{Name: "ovn_chassis", Spec: chassisSpec{}, Outputs: chassisOutputs{}, Make: made},
		{Name: "ovn_switch_port", Spec: switchPortSpec{}, Target: step.SharedNorthbound, Make: made},
	})
}
